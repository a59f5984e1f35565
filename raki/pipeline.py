"""From a scan to images, one way for every geometry: coils, fit on the ACS, fill in, combine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raki.coils.agreement import disagreement, require_same_gain
from raki.coils.combine import (
    Combination,
    combined_image,
    espirit,
    espirit_combination,
    root_sum_of_squares,
    rss_combination,
    walsh,
    walsh_combination,
)
from raki.coils.transform import CoilTransform, coil_transform, require_compressible
from raki.data.damage.examine import Policy, warned
from raki.data.masks import Pattern, pattern_of
from raki.data.sampling import Sampling
from raki.data.scan import Scan
from raki.device import choose_device, now, or_on_cpu
from raki.errors import CalibrationError
from raki.interpolation.calibration import Calibration, Method, Progress, require_learnable, silent
from raki.interpolation.fit import Interpolator, ZeroFilling, fit
from raki.interpolation.fitted import on_device, require_same_lines
from raki.interpolation.harm import guarded
from raki.interpolation.patterns import require_pattern
from raki.magnitude import in_range, in_unit, unit_of, usable
from raki.partial_fourier.acquired import Acquired
from raki.partial_fourier.complete import Completion, complete
from raki.partial_fourier.methods import PartialFourier, ZeroFill

COMBINATIONS: Mapping[str, Combination] = {'rss': root_sum_of_squares, 'walsh': walsh, 'espirit': espirit}

COMBINATION_WEIGHTS: Mapping[str, Combination] = {
    'rss': rss_combination,
    'walsh': walsh_combination,
    'espirit': espirit_combination,
}
"""From coil images, and the covariance of their noise, to the weights (coil, y, x) of the same combination."""

ZERO_FILL = ZeroFill()

INTENSITY = 'orthonormal inverse Fourier transform of k-space in the units of the file, which combined coils keep'
"""What the values of an image mean, in words."""


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """Images of one scan, and what led to them."""

    image: Tensor
    """Magnitude, axes (slice, y, x), float32; the slices of a volume are those along z."""
    kspace: Tensor
    """Filled k-space, axes (slice, coil, ky, kx); measured samples of slices are those of the scan bit for bit. Of a
    volume kz is transformed away. Completed beyond the acquired range by methods that keep these samples (POCS)."""
    interpolators: tuple[Interpolator, ...]
    """The fitted method of every slab."""
    seconds: tuple[float, float]
    """Time spent on fitting and on filling in, all slabs together [s]."""
    completions: tuple[Completion, ...] = ()
    """What was done beyond the acquired range of every slab."""
    findings: tuple[str, ...] = ()
    """What is wrong with the samples, see `raki.data.damage.examine`, or with the device, one sentence each."""

    @classmethod
    def joined(cls, parts: 'Sequence[Reconstruction]') -> 'Reconstruction':
        """Of slabs, one after the other."""
        if len(parts) == 1:
            return parts[0]
        kinds = 'interpolators', 'completions', 'findings'
        own = {name: tuple(each for part in parts for each in getattr(part, name)) for name in kinds}
        image, kspace = (torch.cat([getattr(part, name) for part in parts]) for name in ('image', 'kspace'))
        fit, fill = (sum(times) for times in zip(*(part.seconds for part in parts), strict=True))
        return cls(image, kspace, seconds=(fit, fill), **own)

    def __repr__(self) -> str:
        return f'Reconstruction(image {" x ".join(map(str, self.image.shape))})'

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the coils, to learn, and beyond the acquired range, one sentence each."""
        return tuple(dict.fromkeys(note for each in (*self.interpolators, *self.completions) for note in each.notes))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why it may be worse than usual, one sentence each."""
        others = (text for each in (*self.interpolators, *self.completions) for text in each.warnings)
        return tuple(dict.fromkeys((*self.findings, *others)))


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
    readout: range | None = None
    """As `raki.data.scan.Scan.readout`."""

    @classmethod
    def of(
        cls, scan: Scan, index: int, device: torch.device, coils: int | None = None, known: Pattern | None = None
    ) -> 'Slab':
        """One slab of a scan; a lattice that is known already is not looked for again."""
        is_known = isinstance(known, Sampling) and torch.equal(known.mask, scan.mask)
        pattern = known if known is not None and is_known else pattern_of(scan.mask)
        calibration = None if scan.calibration is None else scan.calibration[index].to(device)
        kspace = in_range(scan.kspace[index], 'k-space').to(device)
        return cls(kspace, pattern, calibration, scan.noise, coils, scan.readout)

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
    def acquired(self) -> Acquired:
        """The block of k-space that is measured or filled in."""
        return Acquired.of(self.kspace, self.sampling, self.readout)

    @property
    def unit(self) -> float:
        """Power of two near the largest measured sample [unit of k-space]."""
        return unit_of(self.kspace[:, self.sampling.mask.to(self.kspace.device)])

    @property
    def transform(self) -> CoilTransform:
        """To the virtual coils to learn in, of samples in units of `unit`."""
        unit = self.unit
        noise = None if self.noise is None else in_unit(self.noise, unit)
        return coil_transform(in_unit(self.acs, unit), noise, self.coils)

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Why separate calibration does not seem to belong to this scan, one sentence each."""
        if self.calibration is None:
            return ()
        measured = self.kspace[:, self.sampling.mask.to(self.kspace.device)]
        found = disagreement(self.calibration.flatten(1), measured.flatten(1))
        return () if found is None else (found,)

    @property
    def is_whole(self) -> bool:
        """Whether nothing within the acquired range is missing."""
        return bool(self.sampling.mask[self.sampling.inside].all())

    def fitted(self, method: Method, progress: Progress = silent) -> Interpolator:
        """Learn how to fill it in; where that would do harm, it stays as measured, see `raki.interpolation.harm`."""
        if isinstance(method, ZeroFilling) or self.is_whole:
            return fit(ZeroFilling(), self.kspace, self.sampling)
        require_pattern(method, self.sampling)
        self._require_learnable(method)
        interpolator = fit(method, self.kspace, self.sampling, self.calibration, progress, self.transform, guarded)
        return replace(interpolator, warnings=(*self.contradictions, *interpolator.warnings))

    def completed(self, method: PartialFourier, kspace: Tensor) -> tuple[Tensor, Completion]:
        """Complete its filled k-space beyond the acquired range; lines measured there, of an ACS, stay measured."""
        completed, completion = complete(method, kspace, self.acquired)
        stray = self.sampling.mask & ~self.sampling.inside
        if method.keeps_measured and bool(stray.any()):
            completed = torch.where(stray.to(kspace.device)[..., None], kspace, completed)
        return completed, completion

    def _require_learnable(self, method: Method) -> None:
        require_learnable(method, self.acs, n_axes=self.kspace.ndim)
        if self.calibration is not None:
            require_same_gain(self.calibration, self.kspace)

    def require_feasible(self, method: Method) -> None:
        """Raise what `fitted` would before it learns: a SamplingError without a lattice, CalibrationErrors."""
        if isinstance(method, ZeroFilling) or self.is_whole:
            return
        require_pattern(method, self.sampling)
        self._require_learnable(method)
        acs = self.transform.apply(self.acs)
        if isinstance(self.sampling, Sampling):
            smallest = method.smallest(Calibration(acs, self.sampling.lattice, self.sampling))
            if smallest is not None:
                smallest.require_fits(acs.shape[1:])


def reconstruct(
    scan: Scan,
    method: Method,
    *,
    device: torch.device | None = None,
    combine: Combination = root_sum_of_squares,
    partial_fourier: PartialFourier = ZERO_FILL,
    coils: int | None = None,
    progress: Progress = silent,
    fitted: Sequence[Interpolator] = (),
    spikes: Policy = warned,
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
        Where; by default a GPU if there is one. The result is on the CPU, and so is the work of a slab for which a GPU
        has no memory, with a warning.
    combine
        From coil images to one.
    partial_fourier
        What is done beyond one end of the acquired range, once all within it is filled in.
    coils
        Number of virtual coils to learn in; None as many as there are.
    progress
        Told how far the training of each slab is.
    fitted
        What to fill every slab in with, from an earlier scan of the same pattern; by default it is learnt.
    spikes
        What is done about damaged samples, see `raki.data.damage.examine`.

    Raises
    ------
    SamplingError
        If the measured lines are not a regular lattice, and the method needs one, or not those of `fitted`.
    CalibrationError
        If there is no ACS, or it is smaller than the kernel.
    TrainingError
        If numbers leave the finite range.
    ScanError
        If values are too large or too small for single precision, or a damaged sample outweighs all others.
    ValueError
        If there cannot be so many virtual coils.
    """
    require_compressible(coils, scan.n_coils)
    device = device or choose_device()
    scan = scan.as_slices() if scan.has_full_kz else scan
    require_same_lines(fitted, scan.mask, scan.n_slabs)
    parts = list[Reconstruction]()

    def part(where: torch.device) -> Reconstruction:
        """The next slab alone."""
        index, known = len(parts), fitted[len(parts)] if fitted else None
        slab = Slab.of(scan, index, where, coils, known.sampling if known else None)
        examined = spikes(slab.kspace, slab.sampling.mask, slab.noise)
        slab, start = replace(slab, kspace=examined.kspace), now(where)
        known = known if where == device or not known else on_device(known, where)
        interpolator = known or slab.fitted(method, progress)
        learnt = now(where)
        kspace = interpolator.fill(slab.kspace)
        completed, completion = slab.completed(partial_fourier, kspace)
        seconds = learnt - start, now(where) - learnt
        slices = slices_of(completed, scan)
        kept = slices.kspace if partial_fourier.keeps_measured else slices_of(kspace, scan).kspace
        del kspace, completed
        shown = (combined_image(each, combine, slices.noise, slices.image_shape).cpu() for each in slices.kspace)
        first = index * len(slices.kspace)
        images = [
            usable(image, each, f'image {first + number}')
            for number, (image, each) in enumerate(zip(shown, slices.kspace, strict=True))
        ]
        mended = () if index else scan.mended
        around = (interpolator,), seconds, (completion,), (*mended, *examined.findings)
        return Reconstruction(torch.stack(images), kept.cpu(), *around)

    for _ in range(scan.n_slabs):
        found, shortcomings = or_on_cpu(part, device)
        parts.append(replace(found, findings=(*found.findings, *shortcomings)))
    return Reconstruction.joined(parts)


def slices_of(kspace: Tensor, scan: Scan) -> Scan:
    """Filled k-space (coil, phase axes, kx) of one slab of a scan as slices, kz of a volume transformed away."""
    full = torch.ones_like(scan.mask)
    return replace(scan, kspace=kspace[None], mask=full, calibration=None, reference=None).as_slices()
