"""From a scan to images, one way for every geometry: coils, fit on the ACS, fill in, combine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.coils.combine import Combination, root_sum_of_squares, rss_combination, walsh, walsh_combination
from raki.coils.noise import known_covariance
from raki.coils.transform import CoilTransform, coil_transform, require_compressible
from raki.data.masks import Pattern, pattern_of
from raki.data.sampling import Sampling
from raki.data.scan import Scan
from raki.device import choose_device, now
from raki.errors import CalibrationError
from raki.fourier import cropped, image_from_kspace
from raki.interpolation.calibration import Method, Progress, require_learnable, silent
from raki.interpolation.fit import Interpolator, ZeroFilling, fit
from raki.interpolation.patterns import require_pattern

COMBINATIONS: Mapping[str, Combination] = {'rss': root_sum_of_squares, 'walsh': walsh}

COMBINATION_WEIGHTS: Mapping[str, Combination] = {'rss': rss_combination, 'walsh': walsh_combination}
"""From coil images, and the covariance of their noise, to the weights (coil, y, x) of the same combination."""


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """Images of one scan, and what led to them."""

    image: Tensor
    """Magnitude, axes (slice, y, x), float32; the slices of a volume are those along z."""
    kspace: Tensor
    """Filled k-space, axes (slice, coil, ky, kx); measured samples of slices are those of the scan bit for bit. Of a
    volume kz is transformed away."""
    interpolators: tuple[Interpolator, ...]
    """The fitted method of every slab."""
    seconds: tuple[float, float]
    """Time spent on fitting and on filling in, all slabs together [s]."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, to the coils before a method learnt and to learn, one sentence each."""
        return tuple(dict.fromkeys(note for each in self.interpolators for note in each.notes))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why it may be worse than usual, one sentence each."""
        return tuple(dict.fromkeys(text for each in self.interpolators for text in each.warnings))


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """One slice or volume, where it is computed, with all that a method may learn from."""

    kspace: Tensor
    """Axes (coil, phase axes, kx)."""
    sampling: Pattern
    """What of it is measured."""
    calibration: Tensor | None = None
    """Separately measured calibration, axes as k-space."""
    noise: Tensor | None = None
    """Noise samples, axes (coil, sample)."""
    coils: int | None = None
    """Number of virtual coils to learn in; None as many as there are."""

    @classmethod
    def of(cls, scan: Scan, index: int, device: torch.device, coils: int | None = None) -> 'Slab':
        """One slab of a scan."""
        calibration = None if scan.calibration is None else scan.calibration[index].to(device)
        kspace = scan.kspace[index].to(device)
        return cls(kspace, pattern_of(scan.mask), calibration, scan.noise, coils)

    @property
    def acs(self) -> Tensor:
        """Lines to learn from, axes as k-space: separate calibration where the scan has it, else the ACS block.

        Raises
        ------
        CalibrationError
            If there is neither.
        """
        if self.calibration is not None:
            return self.calibration
        if not all(self.sampling.acs):
            lattice = self.sampling.lattice if isinstance(self.sampling, Sampling) else 'no lattice'
            raise CalibrationError(
                f'the scan has {lattice} but no ACS: no two neighbouring lines were measured and there '
                'is no separate calibration; acquire ACS lines, or add them as dataset "acs"'
            )
        return self.sampling.acs_block(self.kspace)

    @property
    def transform(self) -> CoilTransform:
        """To the virtual coils to learn in."""
        return coil_transform(self.acs, self.noise, self.coils)

    def fitted(self, method: Method, progress: Progress = silent) -> Interpolator:
        """Learn how to fill it in."""
        if isinstance(method, ZeroFilling) or bool(self.sampling.mask[self.sampling.inside].all()):
            return fit(ZeroFilling(), self.kspace, self.sampling)
        require_pattern(method, self.sampling)
        require_learnable(method, self.acs, n_axes=self.kspace.ndim)
        return fit(method, self.kspace, self.sampling, self.calibration, progress, self.transform)


def reconstruct(
    scan: Scan,
    method: Method,
    *,
    device: torch.device | None = None,
    combine: Combination = root_sum_of_squares,
    coils: int | None = None,
    progress: Progress = silent,
) -> Reconstruction:
    """Fill in what was not measured and combine the coils, slab by slab, each learnt from its own ACS.

    Methods learn in whitened coils where the scan has noise samples, see `raki.coils.transform`; what they fill in is
    combined in the coils of the scan, so that images keep their scale. A volume whose kz is fully sampled is the slices
    that it then consists of.

    Parameters
    ----------
    scan, method
        What to reconstruct, and how.
    device
        Where; by default a GPU if there is one. The result is on the CPU.
    combine
        From coil images to one.
    coils
        Number of virtual coils to learn in; None as many as there are.
    progress
        Told how far the training of each slab is.

    Raises
    ------
    SamplingError
        If the measured lines are not a regular lattice, and the method needs one.
    CalibrationError
        If there is no ACS, or it is smaller than the kernel.
    TrainingError
        If training leaves the finite range.
    ValueError
        If there cannot be so many virtual coils.
    """
    require_compressible(coils, scan.n_coils)
    device = device or choose_device()
    scan = scan.as_slices() if scan.has_full_kz else scan
    images, filled, interpolators, seconds = [], [], [], [0.0, 0.0]
    for index in range(scan.n_slabs):
        slab = Slab.of(scan, index, device, coils)
        start = now(device)
        interpolator = slab.fitted(method, progress)
        fitted = now(device)
        kspace = interpolator.fill(slab.kspace)
        seconds = [seconds[0] + fitted - start, seconds[1] + now(device) - fitted]
        slices = slices_of(kspace, scan)
        del kspace
        images += [combined_image(each, slices, combine).cpu() for each in slices.kspace]
        filled.append(slices.kspace.cpu())
        interpolators.append(interpolator)
    every = filled[0] if len(filled) == 1 else torch.cat(filled)
    return Reconstruction(torch.stack(images), every, tuple(interpolators), (seconds[0], seconds[1]))


def slices_of(kspace: Tensor, scan: Scan) -> Scan:
    """Filled k-space (coil, phase axes, kx) of one slab of a scan as slices, kz of a volume transformed away."""
    full = torch.ones_like(scan.mask)
    return replace(scan, kspace=kspace[None], mask=full, calibration=None, reference=None).as_slices()


def combined_image(kspace: Tensor, scan: Scan, combine: Combination) -> Tensor:
    """Image (y, x) of filled k-space (coil, ky, kx), cropped as the scan says."""
    return cropped(combine(image_from_kspace(kspace), known_covariance(scan.noise)), scan.image_shape)
