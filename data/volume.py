"""What a three-dimensional scan is, once it has been read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from raki.data.scan import Scan
from raki.errors import SamplingError, ScanError
from raki.fourier import centre_crop, image_from_kspace

PARTITIONS = (-3,)


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One Cartesian multi-coil acquisition with two phase-encoding axes. Never changed after loading."""

    kspace: Tensor
    """Complex k-space, axes (coil, kz, ky, kx); kx is the readout, DC at n//2 on all. Zero where not measured."""

    mask: Tensor
    """Boolean, axes (kz, ky): which positions were measured. The only truth about sampling."""

    noise: Tensor | None = None
    """Noise-only samples with the variance of a k-space sample, axes (coil, sample), where the scan has them."""

    reference: Tensor | None = None
    """Fully sampled truth for kspace, axes (coil, kz, ky, kx), where it is known."""

    image_shape: tuple[int, int, int] | None = None
    """Size (z, y, x) that images are cropped to [pixel]; None keeps the size of kspace."""

    voxel_size: tuple[float, float, float] | None = None
    """Size of a voxel along (z, y, x) [m], where the file tells."""

    def __post_init__(self) -> None:
        shape, mask = tuple(self.kspace.shape), self.mask
        if len(shape) != 4 or not self.kspace.is_complex():
            raise ScanError(f'kspace must be complex with axes (coil, kz, ky, kx), got {self.kspace.dtype} {shape}')
        if mask.dtype != torch.bool or tuple(mask.shape) != shape[1:3]:
            raise ScanError(
                f'mask must be boolean with axes (kz, ky) of size {shape[1:3]}, got {mask.dtype} {tuple(mask.shape)}'
            )
        if self.reference is not None and self.reference.shape != self.kspace.shape:
            raise ScanError(f'reference must have the shape of kspace {shape}, got {tuple(self.reference.shape)}')
        if self.noise is not None and (self.noise.ndim != 2 or len(self.noise) != shape[0]):
            raise ScanError(f'noise must have axes (coil, sample) with {shape[0]} coils, got {tuple(self.noise.shape)}')

    @property
    def has_full_kz(self) -> bool:
        """Whether all partitions were measured alike, so that one axis is accelerated at most."""
        return bool((self.mask == self.mask[0]).all()) and bool(self.mask.any())

    def as_slices(self) -> Scan:
        """Transform kz away where all partitions were measured alike: slices with one accelerated axis.

        The noise of a sample keeps its variance, because the transform is orthonormal.

        Raises
        ------
        SamplingError
            If partitions were measured differently, or some not at all.
        """
        if not self.has_full_kz:
            raise SamplingError(
                f'kz can be transformed away where all {len(self.mask)} partitions have the same lines, but they have '
                f'{sorted(set(self.mask.sum(1).tolist()))} lines at different positions: '
                'two axes are accelerated; use raki reconstruct, or raki.load_volume and raki.reconstruct_volume'
            )
        return Scan(
            kspace=self._slices_of(self.kspace),
            mask=self.mask[0],
            noise=self.noise,
            reference=None if self.reference is None else self._slices_of(self.reference),
            image_shape=None if self.image_shape is None else self.image_shape[1:],
            voxel_size=None if self.voxel_size is None else self.voxel_size[1:],
        )

    def _slices_of(self, kspace: Tensor) -> Tensor:
        """(coil, kz, ky, kx) to those (slice, coil, ky, kx) that images are cropped to."""
        slices = image_from_kspace(kspace, PARTITIONS)
        n_slices = self.image_shape[0] if self.image_shape else kspace.shape[1]
        return centre_crop(slices, (n_slices, *kspace.shape[2:])).transpose(0, 1).contiguous()


def slices_of(read_volume: Callable[[int], Volume]) -> Callable[[int, int], Scan]:
    """From reading a repetition to reading one of its slices, (slice, repetition), where kz is fully sampled.

    All slices of one repetition are kept, as they come together.
    """
    all_slices = lru_cache(maxsize=1)(lambda repetition: read_volume(repetition).as_slices())

    def read_slice(index: int, repetition: int) -> Scan:
        return all_slices(repetition).only(index)

    return read_slice
