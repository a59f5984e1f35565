"""From a scan to images: fit on the ACS, fill in, combine, slice by slice."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raki.coils.combine import Combination, root_sum_of_squares, rss_combination, walsh, walsh_combination
from raki.coils.noise import known_covariance
from raki.coils.transform import coil_transform, require_compressible
from raki.data.sampling import Sampling
from raki.data.scan import Scan
from raki.device import choose_device, now
from raki.errors import CalibrationError
from raki.fourier import cropped, image_from_kspace
from raki.grappa.method import Grappa
from raki.interpolation.fit import Interpolator, Method, Progress, fit, leave_empty, require_learnable, silent
from raki.interpolation.volume import VolumeInterpolator
from raki.networks.iterative import IterativeRaki
from raki.networks.raki import RAKI_2019, RAKI_COMPLEX
from raki.networks.recommended import GatedRaki
from raki.networks.residual import ResidualRaki

METHODS: Mapping[str, Method | None] = {
    'zero-filled': None,
    'grappa': Grappa(),
    'raki': GatedRaki(),
    'raki-2019': RAKI_2019,
    'raki-complex': RAKI_COMPLEX,
    'rraki': ResidualRaki(),
    'iraki': IterativeRaki(),
}
"""Methods by the names that the command line uses; None fills nothing in."""

COMBINATIONS: Mapping[str, Combination] = {'rss': root_sum_of_squares, 'walsh': walsh}

COMBINATION_WEIGHTS: Mapping[str, Combination] = {'rss': rss_combination, 'walsh': walsh_combination}
"""From coil images, and the covariance of their noise, to the weights (coil, y, x) of the same combination."""


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """Images of one scan, and what led to them."""

    image: Tensor
    """Magnitude, axes (slice, y, x), float32."""

    kspace: Tensor
    """Filled k-space, axes (slice, coil, ky, kx); measured samples are those of the scan bit for bit."""

    interpolators: tuple[Interpolator | VolumeInterpolator, ...]
    """The fitted method of every slice, or of the whole volume."""

    seconds: tuple[float, float]
    """Time spent on fitting and on filling in, all slices together [s]."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the coils before a method learnt, one sentence each."""
        transforms = [each.transform for each in self.interpolators if each.transform is not None]
        return tuple(dict.fromkeys(note for transform in transforms for note in transform.notes))


def calibration_lines(scan: Scan, sampling: Sampling, index: int) -> Tensor:
    """Lines to learn from, axes (coil, line, kx): separate calibration where the scan has it, else the ACS block.

    Raises
    ------
    CalibrationError
        If there is neither.
    """
    if scan.calibration is not None:
        return scan.calibration[index]
    if not sampling.acs:
        raise CalibrationError(
            f'the scan has R={sampling.acceleration} but no ACS: no two neighbouring lines were measured and there '
            'is no separate calibration; acquire ACS lines, or add them as dataset "acs"'
        )
    return scan.kspace[index][:, sampling.acs.start : sampling.acs.stop]


def reconstruct(
    scan: Scan,
    method: Method | None,
    *,
    device: torch.device | None = None,
    combine: Combination = root_sum_of_squares,
    coils: int | None = None,
    progress: Progress = silent,
) -> Reconstruction:
    """Fill in what was not measured and combine the coils, slice by slice, each trained on its own ACS.

    Methods learn in whitened coils where the scan has noise samples, see `raki.coils.transform`; what they fill in is combined
    in the coils of the scan, so that images keep their scale.

    Parameters
    ----------
    scan
        What to reconstruct.
    method
        How; None leaves missing lines zero.
    device
        Where; by default a GPU if there is one.
    combine
        From coil images to one.
    coils
        Number of virtual coils to learn in; None as many as there are.
    progress
        Told how far the training of each slice is.

    Returns
    -------
    Everything on the CPU.

    Raises
    ------
    SamplingError
        If the measured lines are not a regular lattice.
    CalibrationError
        If there is no ACS, or it is smaller than the kernel.
    TrainingError
        If training leaves the finite range.
    ValueError
        If there cannot be so many virtual coils.
    """
    require_compressible(coils, scan.n_coils)
    device = device or choose_device()
    sampling = Sampling.from_mask(scan.mask)
    images, filled, interpolators, seconds = [], [], [], [0.0, 0.0]
    for index in range(scan.n_slices):
        kspace = scan.kspace[index].to(device)
        start = now(device)
        interpolator = _fitted(scan, method, sampling, index, kspace, coils, progress)
        fitted = now(device)
        lines = interpolator.fill(kspace)
        seconds = [seconds[0] + fitted - start, seconds[1] + now(device) - fitted]
        images.append(combined_image(lines, scan, combine).cpu())
        filled.append(lines.cpu())
        interpolators.append(interpolator)
    return Reconstruction(torch.stack(images), torch.stack(filled), tuple(interpolators), (seconds[0], seconds[1]))


def _fitted(
    scan: Scan,
    method: Method | None,
    sampling: Sampling,
    index: int,
    kspace: Tensor,
    coils: int | None,
    progress: Progress,
) -> Interpolator:
    if method is None or sampling.acceleration == 1:
        return leave_empty(sampling, kspace.shape[-1])
    acs = calibration_lines(scan, sampling, index).to(kspace.device)
    require_learnable(method, acs, n_axes=3)
    return fit(method, acs, sampling, kspace, progress, coil_transform(acs, scan.noise, coils))


def combined_image(kspace: Tensor, scan: Scan, combine: Combination) -> Tensor:
    """Image (y, x) of filled k-space (coil, ky, kx), cropped as the scan says."""
    return cropped(combine(image_from_kspace(kspace), known_covariance(scan.noise)), scan.image_shape)
