"""The Python face: what takes a method, a way to combine, or to complete partial Fourier, takes its name as well."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from raki import pipeline
from raki.coils.combine import Combination
from raki.coils.transform import CoilTransform
from raki.commands import inputs
from raki.commands.catalogue import method_named, name_of, with_settings
from raki.commands.compare import compared, feasible
from raki.commands.fits import Kept, number_of
from raki.commands.origin import versions
from raki.data import sampling as patterns
from raki.data.blocks import Positions
from raki.data.damage.examine import POLICIES, Policy
from raki.data.lattice import Offset
from raki.data.masks import Pattern
from raki.data.sampling import Sampling
from raki.data.save import replacing
from raki.data.scan import Scan, ScanFile
from raki.evaluation.compare import ProgressFor
from raki.evaluation.plan import Plan
from raki.face import asked
from raki.face.arrays import Array, array_of, in_memory, mended_from, scan_from
from raki.face.asked import AnyMethod, Size
from raki.face.calls import restating
from raki.face.comparison import Comparison
from raki.face.earlier import earlier_of
from raki.face.result import Result
from raki.fits.likeness import moments_of
from raki.fits.stored import Fit, Fits, read_fits
from raki.interpolation import fit as interpolation
from raki.interpolation.calibration import Method, Progress, silent
from raki.interpolation.fit import Interpolator
from raki.networks.gated import Gated
from raki.partial_fourier.methods import PARTIAL_FOURIER, PartialFourier
from raki.pipeline import COMBINATIONS, Reconstruction

COMPARED = ('zero-filled', 'plain-grappa', 'grappa', 'gated')
"""Methods of a comparison where nobody names any."""


def reconstruct(
    scan: Scan | ScanFile | Array,
    mask: Array | Positions | Method | str | None = None,
    method: Method | str | None = None,
    *,
    device: torch.device | str | None = None,
    combine: Combination | str = 'rss',
    partial_fourier: PartialFourier | str = 'zero-fill',
    coils: int | None = None,
    progress: Progress = silent,
    fitted: Fits | Sequence[Interpolator] = (),
    spikes: Policy | str = 'warn',
    nan: str = 'refuse',
) -> Result:
    """Fill in what was not measured, and combine the coils.

    `reconstruct(scan, 'grappa')` of a scan or a file; `reconstruct(kspace, mask, 'gated')` of arrays, NumPy's or
    torch's; `reconstruct(kspace, 'gated')` where lines of zeros were not measured. Images come as NumPy arrays.

    Parameters
    ----------
    scan
        What was measured: a scan, a file of `raki.open_scan`, which is read whole, or k-space, complex, axes
        (coil, ky, kx), with a first axis of slices, or of a volume (coil, kz, ky, kx) with a mask (kz, ky);
        see `raki.face.arrays.scan_of`.
    mask
        Which lines were measured, not zero where they were: (ky,), or (kz, ky).
    method
        A method, or the name of one, see `raki.commands.catalogue.METHODS`; by default `gated`.
    device
        Where; by default a GPU if there is one.
    combine
        From coil images to one: `rss`, `walsh`, `espirit`.
    partial_fourier
        What is done beyond one end of the acquired range: `zero-fill`, `homodyne`, `pocs`.
    coils
        Number of virtual coils to learn in; None as many as there are.
    progress
        Told how far the training of each slice or volume is.
    fitted
        What to fill every slice or volume in with, from an earlier scan of the same lines: what `load_fits` gives, or
        `.interpolators` of an earlier result; by default it is learnt.
    spikes
        What is done about damaged samples: `warn`, `drop`, `keep`.
    nan
        What is done about NaN and infinite samples: `refuse`, `drop`.

    Returns
    -------
    Result
        `.image`, axes (slice, y, x), or (y, x) of k-space without an axis of slices; `.kspace`, `.plot()`, `.save()`.

    Raises
    ------
    ValueError
        If arrays do not fit together, there is no such name, or the scan does not allow the method: the errors of
        `raki.pipeline.reconstruct`. All of them restate the call.
    """
    with restating('reconstruct', {'kspace': scan, 'mask': mask, 'method': method}):
        if isinstance(mask, str) or hasattr(mask, 'learn'):  # the second argument is the method
            if method is not None:
                raise ValueError('two methods, and no mask between them: wanted is (kspace, mask, method)')
            mask, method = None, mask  # type: ignore[assignment]
        own = None if method is None else asked.method_of(method)
        measured, found, where = mended_from(scan, mask, nan), own or Gated(), asked.where(device)  # type: ignore[arg-type]
        earlier = earlier_of(fitted, measured, own, where)
        reconstruction = pipeline.reconstruct(
            measured,
            found,
            device=where,
            combine=asked.named(COMBINATIONS, combine, 'combination'),
            partial_fourier=asked.named(PARTIAL_FOURIER, partial_fourier, 'partial Fourier'),
            coils=coils,
            progress=progress,
            fitted=earlier.interpolators,
            spikes=asked.named(POLICIES, spikes, 'way to treat spikes'),
        )
    others = {'combine': combine, 'partial_fourier': partial_fourier, 'coils': coils, 'spikes': spikes, 'nan': nan}
    named = {'method': earlier.about.get('method', name_of(found))}
    options = asked.told({**named, **others, 'device': where, 'is_fitted': bool(earlier.interpolators)})
    is_one_slice = not isinstance(scan, Scan | ScanFile) and np.ndim(scan) == 3
    file = scan if isinstance(scan, ScanFile) else None
    return Result(reconstruction, measured, None if earlier.about else found, options, is_one_slice, file, earlier)


def compare(
    scan: Scan | ScanFile | Array,
    rates: Sequence[Size] | Size | None = None,
    methods: Sequence[AnyMethod] | Mapping[str, AnyMethod] | AnyMethod = COMPARED,
    *,
    acs: Sequence[Size] | Size | None = None,
    mask: str | None = None,
    slices: Sequence[SupportsIndex] | SupportsIndex | None = None,
    seeds: Sequence[SupportsIndex] | SupportsIndex = 0,
    replicas: int = 100,
    refit: bool = False,
    coils: int | None = None,
    calibration: str | None = None,
    faithful: float | None = None,
    object_mask: Array | None = None,
    device: torch.device | str | None = None,
    progress: ProgressFor = lambda _: silent,
) -> Comparison:
    """Undersample a fully sampled scan, reconstruct it with several methods, and measure.

    As `raki compare` does at the command line, whose options these are.

    Parameters
    ----------
    scan
        Fully sampled: a scan, a file of `raki.open_scan`, or k-space, see `reconstruct`.
    rates
        Accelerations: 3, or [2, 3]; of a volume '2x2' or '2x3s1' (Rz x Ry, s a CAIPI shift).
    methods
        Methods, or names of them; a dictionary gives them names of its own.
    acs
        ACS lines: 24, or [16, 24]; of a volume '16x24'.
    mask
        How lines are drawn instead, see `raki.data.masks.MASKS`, such as 'random', or 'random:1' for another seed.
    slices
        Which one or ones, counted from 0; by default the middle one.
    seeds
        Of methods that have one.
    replicas
        Of each noise map; 0 for none.
    refit
        Whether weights are learnt anew from every replica.
    coils, calibration, faithful
        As at the command line.
    object_mask
        The object, not zero inside, axes (y, x) or (slice, y, x).
    device
        Where to compute; by default a GPU if there is one.
    progress
        Called with the name of every task before it starts, gives what is told how far that is.

    Raises
    ------
    ValueError
        If the scan is not fully sampled, or rates, ACS and methods do not fit it. All errors restate the call.
    """
    said = None if methods is COMPARED else methods
    with restating('compare', {'kspace': scan, 'rates': rates, 'methods': said, 'acs=': acs, 'mask=': mask}):
        file = scan if isinstance(scan, ScanFile) else in_memory(scan_from(scan, None))
        plan = Plan(
            with_settings(asked.methods_by_name(methods), calibration, faithful),
            inputs.rates_for(file, asked.words(rates)),
            inputs.acs_for(file, asked.words(acs)),
            list(map(inputs.seed_for, asked.numbers(seeds))),
            replicas,
            asked.where(device),
            coils,
            refit,
            None if object_mask is None else array_of(object_mask, 'object_mask') != 0,
            asked.drawn_by(mask, asked.words(acs)),
        )
        chosen = [file.n_slices // 2] if slices is None else asked.numbers(slices)
        if not chosen:
            raise ValueError('no slice was asked for: leave slices out for the middle one')
        plan, first = feasible(file, plan, chosen)
        _, report = compared(file, plan, chosen, first, progress)
    return Comparison(report)


def undersample(
    measured: Array, rate: Sequence[int] | int, acs: Sequence[int] | int, shift: int = 0, first: Offset | None = None
) -> Sampling:
    """Keep a lattice and a central ACS block of a fully sampled scan.

    `raki.undersample(numpy.ones(96), 3, 24)`: its `.mask`, or all of it, is what `reconstruct` takes for a mask.

    Parameters
    ----------
    measured
        Not zero at the positions there are, axes (ky,) or (kz, ky).
    rate, acs
        Spacing and size of the ACS [line]; of a volume one for each axis, (Rz, Ry).
    shift, first
        See `raki.data.sampling.undersample`.

    Raises
    ------
    SamplingError
        If the scan is not fully sampled, or too small for the request. It restates the call.
    """
    with restating('undersample', {'measured': measured, 'rate': rate, 'acs': acs}):
        there = array_of(measured, 'measured') != 0
        return patterns.undersample(there, asked.several(rate), asked.several(acs), shift, first)


def save_fits(
    path: str | Path,
    reconstruction: Result | Reconstruction,
    scan: Scan | None = None,
    method: Method | str | None = None,
) -> None:
    """Store what was learnt for a reconstruction, so that it can fill in later scans of the same lines.

    Parameters
    ----------
    path
        File to write, `NAME.safetensors`, all or nothing.
    reconstruction, scan, method
        What came of it, and of what and how; what `raki.reconstruct` gives knows both.

    Raises
    ------
    ValueError
        If scan or method are not told.
    """
    if isinstance(reconstruction, Result):
        scan = reconstruction.scan if scan is None else scan
        method = reconstruction.method if method is None else method
    if scan is None or method is None:
        raise ValueError(
            'save_fits needs the scan and the method of a Reconstruction: save_fits(path, it, scan, method)'
        )
    scan = scan.as_slices() if scan.has_full_kz else scan
    kept = Kept()
    for index, interpolator in enumerate(reconstruction.interpolators):
        kept.add(Fit(interpolator, number_of(scan, index), moments_of(scan.kspace[index], scan.mask)))
    found = method_named(method)
    with replacing(path) as temporary:
        kept.put(temporary, {'method': name_of(found), 'settings': asdict(found), 'versions': versions()})


def load_fits(path: str | Path) -> Fits:
    """Read what `save_fits`, or `raki reconstruct --save-fit`, stored: see `raki.fits.stored.read_fits`.

    `raki.reconstruct(scan, fitted=load_fits(path))` fills in with it.
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
