"""Figures of merit, each defined once: always against one reference, never normalised image by image."""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from raki.data.masks import Pattern
from raki.data.sampling import Sampling
from raki.evaluation.fidelity import PointResponse, ghost_index, noise_bias, noise_std, point_response
from raki.evaluation.lesions import DIAMETERS, USUAL_DIAMETER, LesionResponse, lesion_responses
from raki.evaluation.noise_maps import NoiseMap
from raki.evaluation.retention import RetentionMap

RESOLUTION = 64
"""An object is looked at with this many resolved widths over the field of view; what is finer is texture or noise."""

GREY_LEVELS = 256
"""Of a display; what is darker than the first one is black, however dark."""

SMALLEST_PART = 0.1
"""Parts of an object are at least this large, relative to the largest one [1]."""

OBJECT = (
    f"where the reference, smoothed to 1/{RESOLUTION} of the field of view, exceeds Otsu's threshold of its logarithm; "
    'small parts left out, holes filled'
)
"""How `object_mask` finds the object, in words."""


def object_mask(reference: Tensor) -> Tensor:
    """Where the reference, a magnitude (y, x) or (z, y, x), shows the object rather than air: boolean, same axes.

    Smoothed by a Gaussian of 1/RESOLUTION of the field of view at half maximum, the logarithm of the magnitude has two
    modes, air and tissue, which Otsu's threshold parts: coils and contrasts multiply the signal, and so shift a tissue
    by about a decade, as a bright rim is above the middle; air is further down. All that a display would show as
    black counts as equally dark, so that noise-free air is one mode, too. Of the parts, those of at least SMALLEST_PART
    of the largest are kept, and holes, such as ventricles and bone, are filled.

    References
    ----------
    Otsu 1979, IEEE Trans Syst Man Cybern 9:62 (https://doi.org/10.1109/TSMC.1979.4310076).
    """
    magnitude = reference.cpu().double().numpy()
    widths = [size / RESOLUTION / math.sqrt(8 * math.log(2)) for size in magnitude.shape]
    smooth = ndimage.gaussian_filter(magnitude, widths, mode='nearest')
    black = max(float(np.quantile(smooth, 0.99)) / GREY_LEVELS, np.finfo(np.float32).tiny)
    level = np.log(np.maximum(smooth, black))
    parts = np.asarray(label(level >= threshold_otsu(level), connectivity=1))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = ndimage.binary_fill_holes((sizes >= max(1, SMALLEST_PART * sizes.max()))[parts])
    return torch.from_numpy(kept).to(reference.device)


def nrmse(image: Tensor, reference: Tensor) -> float:
    """||image - reference|| / ||reference||, over all samples."""
    return float((image - reference).norm() / reference.norm())


def nrmse_object(image: Tensor, reference: Tensor, inside: Tensor | None = None) -> float:
    """Measure nrmse inside the object only (default: `object_mask`), where no noise floor can be reproduced."""
    inside = object_mask(reference) if inside is None else inside
    return nrmse(image[inside], reference[inside])


def kspace_nrmse(kspace: Tensor, reference: Tensor, missing: Tensor) -> float:
    """Complex nrmse of k-space (coil, *phase, kx) over the missing lines, boolean (*phase,), only; 0 without any."""
    return nrmse(kspace[:, missing], reference[:, missing]) if bool(missing.any()) else 0.0


def energy_ratio(kspace: Tensor, reference: Tensor, filled: Tensor) -> float:
    """Energy of the filled lines over that of the same lines of the reference; below 1 they are too dark.

    Axes as of `kspace_nrmse`; without any filled line, the ratio is 1.
    """
    return float(kspace[:, filled].norm() / reference[:, filled].norm()) ** 2 if bool(filled.any()) else 1.0


def ssim(image: Tensor, reference: Tensor) -> float:
    """Structural similarity, 7 x 7 window, data range the maximum of the reference (scikit-image).

    Of volumes (z, y, x) the mean over slices; axes of one pixel do not count.
    """
    a, b = (array.cpu().double().squeeze().numpy() for array in (image, reference))
    width: Any = min(7, *(size - 1 + size % 2 for size in b.shape[-2:]))
    planes = zip(b, a, strict=True) if b.ndim > 2 else [(b, a)]
    return float(np.mean([structural_similarity(*pair, win_size=width, data_range=b.max()) for pair in planes]))


def psnr(image: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio [dB], data range the maximum of the reference (scikit-image); inf without error."""
    if torch.equal(image, reference):
        return math.inf
    a, b = (array.cpu().double().numpy() for array in (image, reference))
    return float(peak_signal_noise_ratio(b, a, data_range=b.max()))


def image_metrics(image: Tensor, reference: Tensor) -> dict[str, float]:
    """By name, the metrics that need nothing but two images (y, x)."""
    return {measure.__name__: measure(image, reference) for measure in (nrmse, nrmse_object, ssim, psnr)}


@dataclass(frozen=True, eq=False)
class Judged:
    """A reconstruction, and all that figures of merit are computed from."""

    kspace: Tensor
    true_kspace: Tensor
    """Filled k-space and its reference, axes (coil, *phase, kx)."""
    image: Tensor
    true_image: Tensor
    """Magnitude image and its reference, axes (y, x) or (z, y, x)."""
    inside: Tensor
    """The object: boolean, axes of the image."""
    whole: Tensor
    """The same in the whole field of view, axes of k-space without coils."""
    missing: Tensor
    """Lines that were filled in and have a reference: boolean, axes (*phase,)."""
    sampling: Pattern
    """The lines that the reconstruction was given."""
    measured: Tensor
    """What `fill` was applied to, axes of `kspace`."""
    fill: Callable[[Tensor], Tensor]
    """The reconstruction, from measured to filled k-space."""
    retention: RetentionMap | None = None
    """With the axes of the image; None where it is not asked for."""
    noise: NoiseMap | None = None
    """With the axes of the image; None where there is none."""
    diameters: Sequence[float] = DIAMETERS
    """Of the lesions to add [pixel]."""
    noise_floor: float | None = None
    """Noise of the reference itself on the scale of `nrmse_object`; None where it is not known."""
    seconds_fit: float | None = None
    seconds_fill: float | None = None

    @cached_property
    def points(self) -> PointResponse:
        """Small points added inside the object, and what became of them."""
        mask = self.sampling.mask
        return point_response(self.fill, self.measured, self.kspace, self.true_kspace, self.whole, mask)

    @cached_property
    def lesions(self) -> list[LesionResponse]:
        """Discs added inside the object, and what became of them."""
        images = self.measured, self.kspace, self.true_kspace
        return lesion_responses(self.fill, *images, self.whole, self.diameters)

    @property
    def gfactors(self) -> Tensor | None:
        """Map of g-factors, axes of the image; None where nothing is filled in, which loses signal, not noise."""
        lines = self.kspace[:, self.missing]
        return self.noise.gfactor if self.noise and (not lines.numel() or bool(lines.any())) else None

    def gfactor(self, statistic: Callable[[Tensor], Any]) -> float | None:
        """Statistic of the g-factors inside the object."""
        return None if self.gfactors is None else float(statistic(self.gfactors[self.inside]))

    def lesion(self, statistic: Callable[[Tensor], Tensor], name: str) -> float | None:
        """Statistic of what is `kept` or of the `snr` of bright and dark discs of the usual diameter."""
        found = [getattr(each, name) for each in self.lesions if each.diameter == USUAL_DIAMETER]
        return float(statistic(torch.cat(found))) if found else None

    def point_width(self) -> float | None:
        """Mean width of the points of which something is left."""
        widths = self.points.width[self.points.width.isfinite()]
        return float(widths.mean()) if len(widths) else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One entry of a row: what it is called, how it is written, which way is better, and how it is measured."""

    name: str
    """Key in `results.json`."""
    label: str
    """Heading on the page."""
    measure: Callable[[Judged], float | None] | None = None
    """None for what says which cell it is."""
    about: str = ''
    """One sentence for people who point at it."""
    digits: int | None = None
    """Decimals; None for four significant digits."""
    best: str | None = None
    """`low` or `high` where one way is better."""
    under: str | None = None
    """Layer of pictures on the page (image, error, gfactor or retention) under which it is written."""
    is_drawn: bool = True
    """Whether the page draws it over the rate."""

    def written(self, value: object) -> str:
        """Write a value as people read it."""
        if value is None:
            return '–'
        if not isinstance(value, int | float):
            return str(value)
        return f'{value:.4g}' if self.digits is None else f'{round(value, self.digits) + 0.0:.{self.digits}f}'


CELL = (
    Figure('method', 'method'),
    Figure('rate', 'R', about='acceleration: one of R lines', digits=0),
    Figure('acs', 'ACS', about='autocalibration lines', digits=0),
    Figure('slice', 'slice', digits=0),
    Figure('seed', 'seed', about='of methods that have one', digits=0),
    Figure('device', 'device'),
)
"""What says which cell a row belongs to; in a table the device comes last."""

# fmt: off
FIGURES = (
    Figure('nrmse_object', 'NRMSE object', lambda of: nrmse_object(of.image, of.true_image, of.inside),
           '||image − reference|| / ||reference|| inside the object', 4, 'low', 'image'),
    Figure('noise_floor', 'noise floor', lambda of: of.noise_floor,
           "the reference's own noise on the scale of NRMSE object: nothing below it can be judged; 0 if simulated", 4,
           is_drawn=False),
    Figure('nrmse', 'NRMSE', lambda of: nrmse(of.image, of.true_image),
           '||image − reference|| / ||reference|| over all pixels, noise in air included', 4, 'low', 'error'),
    Figure('kspace_nrmse', 'k-space NRMSE', lambda of: kspace_nrmse(of.kspace, of.true_kspace, of.missing),
           'complex error over the missing lines only', 4, 'low', 'error'),
    Figure('ssim', 'SSIM', lambda of: ssim(of.image, of.true_image),
           'structural similarity, 7 × 7 window, range the maximum of the reference', 4, 'high', 'image'),
    Figure('psnr', 'PSNR [dB]', lambda of: psnr(of.image, of.true_image),
           'peak signal-to-noise ratio, peak the maximum of the reference', 2, 'high'),
    Figure('energy_ratio', 'energy filled/true', lambda of: energy_ratio(of.kspace, of.true_kspace, of.missing),
           'of the filled lines; below 1 they are too dark', 3),
    Figure('gfactor_mean', 'g mean', lambda of: of.gfactor(torch.mean),
           'mean g-factor inside the object; a network may lower it by shrinkage', 2, None, 'gfactor'),
    Figure('gfactor_p95', 'g 95 %', lambda of: of.gfactor(lambda values: np.quantile(values.cpu(), 0.95)),
           '95th percentile of the g-factor inside the object', 2, None, 'gfactor'),
    Figure('gfactor_standard_error', 'g rel. SE',
           lambda of: None if of.gfactors is None or of.noise is None else of.noise.relative_standard_error,
           'relative standard error of a g-factor pixel', 3, is_drawn=False),
    Figure('noise_std', 'noise', lambda of: of.noise and noise_std(of.noise, of.true_image, of.inside),
           'standard deviation of replicas inside the object, on the scale of NRMSE object', 4),
    Figure('noise_bias', 'bias', lambda of: of.noise and noise_bias(of.noise, of.true_image, of.inside),
           "how far the replicas' mean lies off inside the object, on the scale of NRMSE object", 4, 'low'),
    Figure('ghost_index', 'ghosts',
           lambda of: (ghost_index(of.kspace, of.true_kspace, of.sampling)
                       if isinstance(of.sampling, Sampling) else None),
           'share of the error that is copies of the object: 0 noise, 1 ghosts alone', 3, 'low'),
    Figure('point_peak', 'points retained', lambda of: float(of.points.retained.mean()),
           'mean height of small added points beyond what zero filling gives: 0 zero filling, 1 faithful', 3),
    Figure('point_peak_min', 'least point retained', lambda of: float(of.points.retained.min()),
           'of the added point that lost most', 3),
    Figure('point_width', 'point width', lambda of: of.point_width(),
           'mean width of added points along phase encoding; above 1 they are blurred', 3),
    Figure('lesion_contrast', 'lesion contrast', lambda of: of.lesion(torch.mean, 'kept'),
           'mean contrast that comes back of discs of 4 pixels, +20 and -20 %', 3, None, 'image'),
    Figure('lesion_contrast_min', 'least lesion contrast', lambda of: of.lesion(torch.min, 'kept'),
           'of the disc that lost most', 3),
    Figure('lesion_snr', 'lesion SNR', lambda of: of.lesion(torch.mean, 'snr'),
           'mean matched-filter SNR of these discs over the total error; only ratios between methods mean something',
           2, 'high', 'image'),
    Figure('lesion_snr_min', 'least lesion SNR', lambda of: of.lesion(torch.min, 'snr'),
           'of the disc that is hidden most', 2, 'high'),
    Figure('retention_mean', 'retention', lambda of: of.retention and of.retention.mean,
           'mean part of the unmeasured signal that comes back in the object: 0 zero filling, 1 faithful', 3, None,
           'retention'),
    Figure('retention_standard_error', 'retention SE', lambda of: of.retention and of.retention.standard_error,
           'standard error of a pixel of the retention map', 3, is_drawn=False),
    Figure('net_acceleration', 'R net', lambda of: of.sampling.net_acceleration,
           'all lines over measured lines, ACS counted', 2, is_drawn=False),
    Figure('acs_used', 'ACS used', lambda of: math.prod(map(len, of.sampling.acs)),
           'with the lattice lines that adjoin', 0, is_drawn=False),
    Figure('seconds_fit', 'fit [s]', lambda of: of.seconds_fit, 'time to learn', 2, 'low'),
    Figure('seconds_fill', 'fill [s]', lambda of: of.seconds_fill, 'time to fill in', 3, 'low'),
)
"""Every figure of merit, in the order of tables. JSON, page and CSV read this list: a new figure is a new entry, and
nothing else. What the terminal shows of them is the summary of `raki.evaluation.verdict`."""
# fmt: on


def figures_of(judged: Judged, names: Collection[str] | None = None) -> dict[str, float | None]:
    """Measure figures, by name: those of these names, or every one."""
    return {each.name: each.measure(judged) for each in FIGURES if each.measure and (not names or each.name in names)}


def columns(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Columns of a table of rows: what any row knows, in the order of tables."""
    *cell, device = CELL
    return [figure for figure in (*cell, *FIGURES, device) if any(row.get(figure.name) is not None for row in rows)]


def sizes(value: object) -> list[int]:
    """Numbers of a rate or an ACS such as 4, 2x2s1 or 16x24, to sort them by."""
    return [int(number) for number in re.findall(r'\d+', str(value))]
