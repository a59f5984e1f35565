"""The Python face: what takes a method, or a way to complete partial Fourier, takes its name as well."""

import torch
from torch import Tensor

from raki import pipeline
from raki.coils.combine import Combination, root_sum_of_squares
from raki.coils.transform import CoilTransform
from raki.commands.catalogue import known, method_named
from raki.data.damage.examine import POLICIES, Policy
from raki.data.masks import Pattern
from raki.data.scan import Scan
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
        spikes=known(POLICIES, spikes, 'way to treat spikes') if isinstance(spikes, str) else spikes,
    )


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
