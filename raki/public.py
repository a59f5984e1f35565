"""The Python face: what takes a method, or a way to complete partial Fourier, takes its name as well."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from raki import pipeline
from raki.coils.combine import Combination, root_sum_of_squares
from raki.coils.transform import CoilTransform
from raki.commands.catalogue import METHODS, known, method_named
from raki.commands.fits import Kept, number_of
from raki.commands.origin import versions
from raki.data.damage.examine import POLICIES, Policy
from raki.data.masks import Pattern
from raki.data.save import replacing
from raki.data.scan import Scan
from raki.fits.likeness import moments_of
from raki.fits.stored import Fit, Fits, read_fits
from raki.interpolation import fit as interpolation
from raki.interpolation.calibration import Method, Progress, silent
from raki.interpolation.fit import Interpolator
from raki.partial_fourier.methods import PARTIAL_FOURIER, PartialFourier
from raki.pipeline import Reconstruction


def reconstruct(
    scan: Scan,
    method: Method | str = 'gated',
    *,
    device: torch.device | None = None,
    combine: Combination = root_sum_of_squares,
    partial_fourier: PartialFourier | str = 'zero-fill',
    coils: int | None = None,
    progress: Progress = silent,
    fitted: Sequence[Interpolator] = (),
    spikes: Policy | str = 'warn',
) -> Reconstruction:
    """`raki.pipeline.reconstruct` by a method, or by the name of one, see `raki.commands.catalogue.method_named`.

    So may partial Fourier be a name, see `raki.partial_fourier.methods.PARTIAL_FOURIER`, and what is done about damaged
    samples, see `raki.data.damage.examine.POLICIES`.
    """
    found, beyond = method_named(method), partial_fourier
    if isinstance(beyond, str):
        beyond = known(PARTIAL_FOURIER, beyond, 'partial Fourier')
    return pipeline.reconstruct(
        scan,
        found,
        device=device,
        combine=combine,
        partial_fourier=beyond,
        coils=coils,
        progress=progress,
        fitted=fitted,
        spikes=known(POLICIES, spikes, 'way to treat spikes') if isinstance(spikes, str) else spikes,
    )


def save_fits(path: str | Path, reconstruction: Reconstruction, scan: Scan, method: Method | str) -> None:
    """Store what was learnt for a reconstruction, so that it can fill in later scans of the same lines.

    Parameters
    ----------
    path
        File to write, `NAME.safetensors`, all or nothing.
    reconstruction, scan, method
        What came of it, and of what and how.
    """
    scan = scan.as_slices() if scan.has_full_kz else scan
    kept = Kept()
    for index, interpolator in enumerate(reconstruction.interpolators):
        kept.add(Fit(interpolator, number_of(scan, index), moments_of(scan.kspace[index], scan.mask)))
    found = method_named(method)
    name = next((name for name, each in METHODS.items() if each == found), type(found).__name__)
    with replacing(path) as temporary:
        kept.put(temporary, {'method': name, 'settings': asdict(found), 'versions': versions()})


def load_fits(path: str | Path) -> Fits:
    """Read what `save_fits`, or `raki reconstruct --save-fit`, stored: see `raki.fits.stored.read_fits`.

    `raki.reconstruct(scan, fitted=load_fits(path).interpolators)` fills in with it.
    """
    return read_fits(path)


def fit(
    method: Method | str,
    kspace: Tensor,
    sampling: Pattern,
    calibration: Tensor | None = None,
    progress: Progress = silent,
    transform: CoilTransform | None = None,
) -> Interpolator:
    """`raki.interpolation.fit.fit` of a method, or of the name of one, see `raki.commands.catalogue.method_named`."""
    return interpolation.fit(method_named(method), kspace, sampling, calibration, progress, transform)
