"""What must hold of k-space before anything is learnt from it or filled in."""

import torch
from torch import Tensor

from raki.errors import CalibrationError


def require_learnable(method: object, acs: Tensor, n_axes: int) -> None:
    """Raise a CalibrationError unless an ACS, axes (coil, ..., readout), can teach anything."""
    if acs.ndim != n_axes or 0 in acs.shape[1:-1]:
        raise CalibrationError(
            f'{type(method).__name__} learns from autocalibration lines, got {tuple(acs.shape)}: '
            'acquire a block of neighbouring lines or give separate calibration data'
        )
    if len(acs) == 1:
        raise CalibrationError('missing lines are told apart by at least 2 coils, got 1: use zero filling')
    if not bool(torch.isfinite(torch.view_as_real(acs)).all()):
        raise CalibrationError('the ACS has NaN or infinite samples: nothing can be learnt from it')


def require_complex64(kspace: Tensor) -> None:
    """Raise a ValueError unless k-space is complex64."""
    if kspace.dtype != torch.complex64:
        raise ValueError(f'k-space must be complex64, got {kspace.dtype}')
