"""The one Fourier convention of the package: centred (DC at n//2) and orthonormal."""

from torch import Tensor
from torch.fft import fftn, fftshift, ifftn, ifftshift

PLANE = (-2, -1)
READOUT = (-1,)


def image_from_kspace(kspace: Tensor, axes: tuple[int, ...] = PLANE) -> Tensor:
    """Centred orthonormal inverse Fourier transform over `axes`, by default (ky, kx)."""
    return fftshift(ifftn(ifftshift(kspace, dim=axes), dim=axes, norm='ortho'), dim=axes)


def kspace_from_image(image: Tensor, axes: tuple[int, ...] = PLANE) -> Tensor:
    """Centred orthonormal Fourier transform over `axes`, by default (y, x)."""
    return fftshift(fftn(ifftshift(image, dim=axes), dim=axes, norm='ortho'), dim=axes)


def spatial_axes(kspace: Tensor) -> tuple[int, ...]:
    """All axes of k-space (coil, phase axes, kx) but the coils, counted from the last."""
    return tuple(range(1 - kspace.ndim, 0))


def centre_crop(array: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Keep the central `shape` of the last axes, so that index n//2 stays index n//2.

    Raises
    ------
    ValueError
        If `shape` is larger than the array along any of these axes.
    """
    for axis, wanted in enumerate(shape, start=array.ndim - len(shape)):
        size = array.shape[axis]
        if wanted > size:
            raise ValueError(f'cannot crop axis {axis} of length {size} to {wanted}')
        array = array.narrow(axis, size // 2 - wanted // 2, wanted)
    return array


def without_oversampling(kspace: Tensor, n_readout: int) -> Tensor:
    """Crop the field of view along the readout (last axis) to `n_readout` samples, keeping the resolution.

    The noise of a sample keeps its variance, because both transforms are orthonormal. Without oversampling, samples
    come back bit for bit.
    """
    if n_readout == kspace.shape[-1]:
        return kspace
    image = image_from_kspace(kspace, READOUT)
    return kspace_from_image(centre_crop(image, (n_readout,)), READOUT)


def cropped(image: Tensor, shape: tuple[int, ...] | None) -> Tensor:
    """Image (y, x) or (z, y, x) cropped to a scan's `image_shape`; None leaves it as it is."""
    return image if shape is None else centre_crop(image, shape)
