"""What a reconstruction of a file would do, step by step, and whether anything stands in its way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from raki.commands.catalogue import METHODS
from raki.data.damage.examine import warned
from raki.data.masks import Irregular
from raki.data.notes import STEPS, about, cautions_of
from raki.data.place import named
from raki.data.scan import Scan, ScanFile
from raki.errors import CalibrationError, SamplingError, ScanError
from raki.partial_fourier.complete import complete
from raki.partial_fourier.methods import ZeroFill
from raki.pipeline import INTENSITY, Slab

DEFAULT = 'gated'
"""The method that is asked whether it can learn."""

WHOLE = 'nothing to fill in, all lines of the acquired range were measured'
"""What is said of a fully sampled scan."""

ANY_PATTERN = 'spirit'
"""The method that is asked where there is no lattice."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is to be expected of a frame, one sentence each."""

    missing: Sequence[str]
    """What stands in the way of a reconstruction."""

    cautions: Sequence[str]
    """Why it may be worse than usual."""

    is_whole: bool = False
    """Whether nothing within the acquired range is missing."""

    @classmethod
    def of(cls, scan: Scan, problem: str | None) -> 'Prospect':
        """From the first slab, as slices where kz is fully sampled, and what is wrong with its pattern, if known."""
        slab = Slab.of(scan, 0, torch.device('cpu'))
        try:
            findings = warned(slab.kspace, slab.sampling.mask, slab.noise).findings
        except ScanError as error:
            return cls([str(error)], _cautions(slab), slab.is_whole)
        return cls(
            _missing(slab) or ([problem] if problem else []), [*scan.mended, *findings, *_cautions(slab)], slab.is_whole
        )


def outlook(file: ScanFile, scan: Scan, prospects: Sequence[Prospect]) -> dict[str, object]:
    """Steps by name, cautions, what is missing, and the verdict: ready, ready with so many cautions, or not ready.

    Parameters
    ----------
    file, scan
        What is to be reconstructed, and the first slab of its first frame, as slices where kz is fully sampled.
    prospects
        What is to be expected of each frame.
    """
    missing = _of_frames(file, [each.missing for each in prospects])
    cautions = [*cautions_of(file.notes), *_of_frames(file, [each.cautions for each in prospects])]
    return {
        'steps': steps(file, scan),
        'cautions': cautions,
        'missing': missing,
        'verdict': _verdict(missing, len(cautions), is_whole=all(each.is_whole for each in prospects)),
    }


def _verdict(missing: Sequence[str], n_cautions: int, *, is_whole: bool) -> str:
    if missing:
        return f'not ready: {missing[0]}' + (f'; and {len(missing) - 1} more' if len(missing) > 1 else '')
    ready = f'ready with {n_cautions} caution{"s" * (n_cautions > 1)}' if n_cautions else 'ready'
    return f'{ready}: {WHOLE}' if is_whole else ready


def steps(file: ScanFile, scan: Scan) -> Mapping[str, str]:
    """What `raki reconstruct` does by default with this scan, in order, and how that is changed."""
    slab, noise = Slab.of(scan, 0, torch.device('cpu')), scan.noise
    dead, whitening = 'unknown without an ACS', 'none: there is no ACS'
    try:
        transform = slab.transform
        dead = '; '.join(text for text in transform.warnings if text != transform.not_whitened) or 'none'
        whitening = '; '.join([*transform.notes, transform.not_whitened or '']).strip('; ')
    except CalibrationError:
        pass
    return {
        **{step: '; '.join(about(step, file.notes)) or 'none' for step in STEPS},
        'dead coils': dead,
        'whitening': 'none: the scan has no noise samples' if noise is None else f'{whitening} (--no-whiten)',
        'compression': f'none: {scan.n_coils} coils (--coils)',
        'interpolation': _interpolation(slab),
        'partial Fourier': '; '.join(_beyond(slab)) or 'none: k-space is symmetric around DC',
        'combination': 'root sum of squares (--combine walsh, --combine espirit)',
        'crop': _crop(scan),
        'intensity': INTENSITY,
    }


def _of_frames(file: ScanFile, texts: Sequence[Sequence[str]]) -> list[str]:
    """Each text once; with the frames that it is about unless all are."""
    found = []
    for text in dict.fromkeys(each for of_frame in texts for each in of_frame):
        where = [frame for frame, of_frame in zip(file.frames, texts, strict=True) if text in of_frame]
        found.append(text if len(where) == len(texts) else f'{text} ({named(where)})')
    return found


def _missing(slab: Slab) -> list[str]:
    """What stands in the way of the default method, and of those for any pattern."""
    try:
        slab.require_feasible(METHODS[DEFAULT])
    except SamplingError as error:
        others = _missing_of_any(slab)
        return [str(error), *others]
    except CalibrationError as error:
        return [str(error)]
    return []


def _missing_of_any(slab: Slab) -> list[str]:
    try:
        slab.require_feasible(METHODS[ANY_PATTERN])
    except CalibrationError as error:
        return [str(error)]
    return []


def _cautions(slab: Slab) -> list[str]:
    """Why the result may be worse than usual, as far as is known before anything is learnt."""
    try:
        return [*slab.contradictions, *slab.transform.warnings, *_beyond(slab)]
    except CalibrationError:
        return _beyond(slab)


def _beyond(slab: Slab) -> list[str]:
    """Which ends of k-space are missing."""
    return list(complete(ZeroFill(), slab.kspace, slab.acquired)[1].notes)


def _interpolation(slab: Slab) -> str:
    if slab.is_whole:
        return 'none: all of the acquired range was measured'
    mask, inside = slab.sampling.mask, slab.sampling.inside
    method = f'{ANY_PATTERN} or sparse' if isinstance(slab.sampling, Irregular) else DEFAULT
    return f'{int((inside & ~mask).sum())} lines from {int(mask.sum())} measured ones, by --method {method}'


def _crop(scan: Scan) -> str:
    shape, size = scan.image_shape, scan.kspace.shape[2:]
    if shape is None or tuple(shape) == tuple(size):
        return 'none'
    return f'{" x ".join(map(str, size))} to {" x ".join(map(str, shape))} (--no-crop)'
