"""The Python face: what takes a method takes its name as well."""

import torch
from torch import Tensor

from raki import pipeline
from raki.coils.combine import Combination, root_sum_of_squares
from raki.coils.transform import CoilTransform
from raki.commands.catalogue import method_named
from raki.data.masks import Pattern
from raki.data.scan import Scan
from raki.interpolation import fit as interpolation
from raki.interpolation.calibration import Method, Progress, silent
from raki.interpolation.fit import Interpolator
from raki.pipeline import Reconstruction


def reconstruct(
    scan: Scan,
    method: Method | str = 'gated',
    *,
    device: torch.device | None = None,
    combine: Combination = root_sum_of_squares,
    coils: int | None = None,
    progress: Progress = silent,
) -> Reconstruction:
    """`raki.pipeline.reconstruct` by a method, or by the name of one, see `raki.commands.catalogue.method_named`."""
    found = method_named(method)
    return pipeline.reconstruct(scan, found, device=device, combine=combine, coils=coils, progress=progress)


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
