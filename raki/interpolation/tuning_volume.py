"""What GRAPPA leaves open where two axes are accelerated, chosen from the ACS block as `regularization` does for lines.

Every missing position of a cell is a linear problem of its own, with its own kernel, ridge and misfit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from raki.interpolation.kernel import Kernel
from raki.interpolation.neighbourhood import Neighbourhood
from raki.interpolation.tuning import EQUATIONS_PER_SOURCE, N_BLOCKS, Tuned, misfit_of, tuned_on
from raki.interpolation.volume import PositionCalibration


def tune_position(calibration: PositionCalibration, kernels: Sequence[Kernel]) -> tuple[Neighbourhood, Tuned]:
    """Choose weights, ridge and kernel; kernels that the ACS does not hold are left out, but the first.

    Raises
    ------
    CalibrationError
        If the ACS does not hold the first kernel, or nothing but zeros.
    """
    first, *others = dict.fromkeys(calibration.neighbourhood(kernel) for kernel in kernels)
    candidates = [first, *(around for around in others if around.fits(calibration.acs))]
    every = [(around, _tuned(calibration, around)) for around in candidates]
    return min(every, key=lambda candidate: candidate[1].expected_error)


def _tuned(calibration: PositionCalibration, around: Neighbourhood) -> Tuned:
    misfit = misfit_of(*_some_pairs(calibration, around), around.as_kernel, calibration.shape)
    blocks = [
        calibration.normal_equations(around, block, misfit.weight) for block in around.blocks(calibration.acs, N_BLOCKS)
    ]
    return tuned_on(blocks, misfit, calibration.missing_power)


def _some_pairs(calibration: PositionCalibration, around: Neighbourhood) -> tuple[Tensor, Tensor]:
    """Equations evenly spread over the ACS, enough for a fit: axes (equation, source) and (equation, coil)."""
    region = around.sources.inside(calibration.acs.shape[1:])
    n_sources = len(calibration.acs) * len(around.sources.offsets) * len(around.sources.samples)
    n_equations = torch.Size(len(side) for side in region).numel()
    step = max(1, n_equations // (EQUATIONS_PER_SOURCE * n_sources))
    pairs = [(sources[::step], targets[::step]) for sources, targets in around.pairs(calibration.acs)]
    sources, targets = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return sources, targets
