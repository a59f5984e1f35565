"""From a volume to images: fill in what two axes left out, transform kz away, combine slice by slice."""

from dataclasses import replace

import torch

from raki.coils.combine import Combination, root_sum_of_squares
from raki.coils.transform import coil_transform, require_compressible
from raki.data.lattice import VolumeSampling
from raki.data.volume import Volume
from raki.device import choose_device, now
from raki.errors import CalibrationError
from raki.interpolation.fit import Method, Progress, require_learnable, silent
from raki.interpolation.volume import VolumeInterpolator, fit_volume
from raki.pipeline import Reconstruction, combined_image, reconstruct


def reconstruct_volume(
    volume: Volume,
    method: Method | None,
    *,
    device: torch.device | None = None,
    combine: Combination = root_sum_of_squares,
    coils: int | None = None,
    progress: Progress = silent,
) -> Reconstruction:
    """Reconstruct a volume; one whose kz is fully sampled as the slices that it then consists of.

    Parameters
    ----------
    volume
        What to reconstruct.
    method
        How; None leaves missing positions zero. Where both axes are accelerated, a linear one.
    device
        Where; by default a GPU if there is one.
    combine
        From coil images to one.
    coils
        Number of virtual coils to learn in, as in `raki.pipeline.reconstruct`.
    progress
        Told how far the method has learnt.

    Returns
    -------
    Everything on the CPU, as slices along z: where both axes are accelerated, k-space filled and kz transformed away,
    and one interpolator for all.

    Raises
    ------
    SamplingError
        If the measured positions are not a regular lattice, or have two accelerated axes and the method handles one.
    CalibrationError
        If there is no ACS, or it is smaller than the kernel.
    ValueError
        If there cannot be so many virtual coils.
    """
    if volume.has_full_kz:
        slices = volume.as_slices()
        return reconstruct(slices, method, device=device, combine=combine, coils=coils, progress=progress)
    require_compressible(coils, len(volume.kspace))
    device = device or choose_device()
    sampling = VolumeSampling.from_mask(volume.mask)
    kspace = volume.kspace.to(device)
    start = now(device)
    interpolator = _fitted(volume, kspace, method, sampling, coils, progress)
    fitted = now(device)
    filled = interpolator.fill(kspace)
    seconds = fitted - start, now(device) - fitted
    slices = replace(volume, kspace=filled, mask=torch.ones_like(volume.mask), reference=None).as_slices()
    images = [combined_image(each, slices, combine).cpu() for each in slices.kspace]
    return Reconstruction(torch.stack(images), slices.kspace.cpu(), (interpolator,), seconds)


def _fitted(
    volume: Volume,
    kspace: torch.Tensor,
    method: Method | None,
    sampling: VolumeSampling,
    coils: int | None,
    progress: Progress,
) -> VolumeInterpolator:
    if method is None:
        return VolumeInterpolator(sampling, kspace.shape[-1])
    if not all(sampling.acs):
        raise CalibrationError(
            f'the volume has {sampling.lattice} but no ACS: no two neighbouring lines of two neighbouring partitions '
            'were measured; acquire an ACS block'
        )
    acs = sampling.acs_block(kspace)
    require_learnable(method, acs, n_axes=4)
    return fit_volume(method, acs, sampling, kspace, progress, coil_transform(acs, volume.noise, coils))
