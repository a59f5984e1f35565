"""What an earlier scan taught: fits that fill in this one, what is told of them, and why they may not hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from raki.commands.catalogue import name_of
from raki.commands.fits import Given, number_of
from raki.data.scan import Scan
from raki.fits.stored import Fits
from raki.interpolation.calibration import Method
from raki.interpolation.fit import Interpolator


@dataclass(frozen=True, slots=True, eq=False)
class Earlier:
    """What fills in every slice or volume in place of learning; nothing by default."""

    interpolators: Sequence[Interpolator] = ()
    """Of every slice or volume, where it is computed."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Of a file of fits, by the names of a manifest: method, settings, and which file."""
    notes: tuple[str, ...] = ()
    """That nothing was learnt, in words."""
    warnings: tuple[str, ...] = ()
    """Why it may not hold for this scan, one sentence each."""


UNTOLD = 'of an earlier scan'
"""Name of the method of fits that nobody tells."""


def earlier_of(
    fitted: Fits | Sequence[Interpolator], scan: Scan, method: Method | None, device: torch.device
) -> Earlier:
    """What is to fill in a scan.

    Raises
    ------
    ScanError
        If stored fits are for other lines, coils or slices.
    ValueError
        If another method is asked for than that of stored fits.
    """
    if not isinstance(fitted, Fits | Sequence):
        raise ValueError(f'fitted is what load_fits gives, or .interpolators of a result, got {type(fitted).__name__}')
    if not isinstance(fitted, Fits):
        return Earlier(tuple(fitted), {} if method or not fitted else {'method': UNTOLD, 'settings': {}})
    own = fitted.manifest.get('method', UNTOLD)
    if method is not None and name_of(method) != own:
        raise ValueError(f'the fits {fitted.name} are of {own}, not of {name_of(method)}: leave the method out')
    given, slabs = Given(fitted), scan.as_slices() if scan.has_full_kz else scan
    found = [
        given.interpolator(number_of(slabs, index), slabs.only(index), _named(index, slabs), device)
        for index in range(slabs.n_slabs)
    ]
    doubts = dict.fromkeys(text for _, texts in found for text in texts)
    return Earlier([each for each, _ in found], {'method': own} | given.about, (given.note,), tuple(doubts))


def _named(index: int, slabs: Scan) -> str:
    return 'the volume' if slabs.n_phase_axes == 2 else f'slice {index}'
