"""Fits of one `raki reconstruct` for another: kept of every slice, and used in place of learning."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from raki.commands.inputs import UsageError, shown
from raki.commands.settings import Settings
from raki.data.save import replacing
from raki.data.scan import Scan
from raki.errors import ScanError
from raki.fits.likeness import doubts, require_same
from raki.fits.stored import Fit, Fits, put_fits, read_fits
from raki.interpolation.fit import Interpolator
from raki.interpolation.fitted import on_device

LEARNT = ('method', 'coils', 'calibration', 'faithful', 'seed', 'whiten')
"""Settings that decide what is learnt, and that a fit therefore brings along."""

TOLD = ('method', 'options', 'settings', 'source_file', 'input', 'versions', 'device', 'n_threads')
"""What a file of fits tells of how the images came about that it was learnt with."""


def number_of(scan: Scan, first: int) -> int | None:
    """Number by which a fit is found: that of the slice, none of a volume that is filled in whole."""
    return None if scan.n_phase_axes == 2 else first


@dataclass(slots=True)
class Kept:
    """What was learnt of the first frame of every slice."""

    found: dict[int | None, Fit] = field(default_factory=dict)

    def add(self, fit: Fit | None) -> None:
        """Keep what was learnt of a slice or volume, if it is the first of its number."""
        if fit is not None:
            self.found.setdefault(fit.slice, fit)

    def put(self, path: Path, manifest: Mapping[str, Any]) -> None:
        """Write all of them into a new file, of images with this manifest."""
        every = list(self.found.values())
        told = {name: manifest[name] for name in TOLD if name in manifest}
        put_fits(path, every, told | {'fits': [_summary(each) for each in every]})


def _summary(fit: Fit) -> dict[str, Any]:
    """For people: of what slice, and for what k-space."""
    interpolator, mask = fit.interpolator, fit.interpolator.sampling.mask
    return {
        'slice': fit.slice,
        'n_coils': interpolator.n_coils,
        'matrix': list(mask.shape),
        'n_measured': int(mask.sum()),
        'n_readout': interpolator.n_readout,
    }


@contextmanager
def keeping(path: Path | None) -> Iterator[Path | None]:
    """Give a file to be written in the stead of `path`, if there is one to write, as `raki.data.save.replacing`."""
    if path is None:
        yield None
        return
    with replacing(path) as temporary:
        yield temporary


@dataclass(slots=True)
class Given:
    """Fits of an earlier scan."""

    fits: Fits
    seen: set[int | None] = field(default_factory=set)
    """Numbers of slices that were asked for."""

    @classmethod
    def of(cls, settings: Settings) -> 'Given | None':
        """Those that are asked for, None where none are."""
        return None if settings.fit is None else cls(read_fits(settings.fit))

    def settled(self, settings: Settings) -> Settings:
        """With what the fits were learnt with; a UsageError where something else is asked for."""
        options = self.fits.manifest.get('options')
        own = {name: options[name] for name in LEARNT if name in options} if isinstance(options, dict) else {}
        for name in LEARNT:
            if name in settings.model_fields_set and (name not in own or own[name] != getattr(settings, name)):
                there = f'is of {name} {own[name]}' if name in own else f'does not tell its {name}'
                asked = f'--{name} asks for {getattr(settings, name)}'
                raise UsageError(f'--fit {settings.fit} {there}, and {asked}: leave one of them out')
        try:
            return Settings.model_validate({**settings.model_dump(exclude_unset=True), **own})
        except ValueError as error:
            raise ScanError(f'{settings.fit}: its manifest names settings that there are not: {error}') from error

    @property
    def about(self) -> dict[str, Any]:
        """What the manifest of images says of them."""
        manifest = self.fits.manifest
        told = {name: manifest[name] for name in ('method', 'settings') if name in manifest}
        made = {name: manifest[name] for name in ('source_file', 'input', 'versions') if name in manifest}
        return {**told, 'fit': {'file': shown(self.fits.name), 'sha256': self.fits.digest, **made}}

    @property
    def note(self) -> str:
        """That nothing was learnt."""
        source = self.fits.manifest.get('source_file', 'an unnamed scan')
        return (
            f'filled in with a fit from elsewhere, nothing was learnt from this scan: {shown(self.fits.name)} '
            f'(sha256 {self.fits.digest[:12]}) of {shown(source)}'
        )

    def interpolator(
        self, number: int | None, scan: Scan, name: str, device: torch.device
    ) -> tuple[Interpolator, tuple[str, ...]]:
        """The fit of a slice or volume, on a device, and at its first use why it may not hold; ScanErrors."""
        fit = self.fits.of(number)
        require_same(fit, scan.kspace[0], scan.mask, name)
        doubted = () if number in self.seen else doubts(fit, scan.kspace[0], scan.mask, scan.noise)
        self.seen.add(number)
        return on_device(fit.interpolator, device), doubted
