"""The one place that knows sigpy: phantom and coil sensitivities."""

import torch
from torch import Tensor


def shepp_logan(shape: tuple[int, ...]) -> Tensor:
    """Shepp-Logan phantom with modified contrast, axes (y, x) or (z, y, x), real."""
    import sigpy  # its import takes seconds

    return torch.from_numpy(sigpy.shepp_logan(shape)).real.float()


def birdcage_maps(n_coils: int, shape: tuple[int, int]) -> Tensor:
    """Sensitivities of a birdcage coil with unit root sum of squares, axes (coil, y, x), complex64."""
    from sigpy.mri import birdcage_maps as maps

    return torch.from_numpy(maps((n_coils, *shape))).to(torch.complex64)


def ring_maps(n_coils: int, n_rings: int, shape: tuple[int, int, int]) -> Tensor:
    """Sensitivities of rings of coils around y, with unit root sum of squares, axes (coil, z, y, x), complex64."""
    from sigpy.mri import birdcage_maps as maps

    n_partitions, n_lines, n_columns = shape
    around_first_axis = maps((n_coils, n_lines, n_partitions, n_columns), nzz=-(-n_coils // n_rings))
    return torch.from_numpy(around_first_axis).to(torch.complex64).transpose(1, 2)
