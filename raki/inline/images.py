"""From all lines of a slice or volume to its image, as the command line would make it of a file."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from torch import Tensor

from raki.coils.transform import require_compressible
from raki.data.memory import COMPLEX64_BYTES
from raki.data.mrd.acquisitions import Acquisitions, HeldSamples
from raki.data.mrd.header import Header
from raki.data.mrd.image import attributes_of_method, image_header
from raki.data.mrd.layout import ACQUISITION
from raki.data.mrd.scan import file_of, understood
from raki.data.scan import Scan
from raki.errors import ResourceError
from raki.inline.ahead import Begun, Known
from raki.inline.frames import LEFT_OUT, NOISE, Gathered, image_line, key_of
from raki.inline.messages import Limits, Line
from raki.inline.options import Options
from raki.interpolation.calibration import Progress
from raki.interpolation.fit import Interpolator
from raki.pipeline import COMBINATIONS, Reconstruction, reconstruct

PATH = 'the stream'

BRIGHTEST, LARGEST = 2047, 4095
"""Integers: what the brightest voxel of a connection's first image becomes, and the largest of 12 bits."""

REUSED = 'filled in with what an earlier repetition of this slice has taught (reuse)'

LARGEST_INDEX = 65535
"""Of an image: the format counts with 16 bits."""

KEPT = 256
"""Slices for which what was learnt is kept, where it is to be used again."""


@dataclass(frozen=True, slots=True, eq=False)
class MadeImage:
    """One image to send."""

    header: np.ndarray
    """Scalar of `raki.data.mrd.layout.IMAGE`."""

    attributes: Mapping[str, object]
    """By name; a list has several values."""

    values: np.ndarray
    """Axes (channel, z, y, x), float32, complex64 or uint16."""


@dataclass(slots=True, eq=False)
class ImageMaker:
    """Reconstruct what one connection sends, one slice or volume after the other."""

    header: Header
    options: Options
    limits: Limits
    _n_made: int = 0
    _fitted: dict[Hashable, tuple[Interpolator, ...]] = field(default_factory=dict)
    _known: dict[Hashable, Known] = field(default_factory=dict)
    """How slices are understood, by their counters without repetition."""
    _begun: dict[Hashable, Begun] = field(default_factory=dict)
    """Slices that wait for lines, by their counters."""
    _scale: float | None = None
    """Of integers: fixed by the first image."""

    def image(self, gathered: Gathered, progress: Progress) -> MadeImage:
        """Reconstruct one slice or volume.

        Raises
        ------
        ResourceError
            If its matrix is larger than the limits allow.
        ValueError, ArithmeticError
            As scans and methods raise them.
        """
        self._require_affordable(gathered)
        scan, about_lines = self._scan(gathered)
        require_compressible(self.options.coils, scan.n_coils)
        result, about_reuse = self._reconstructed(scan, gathered, progress)
        self._n_made += 1
        values = self._values(result.image)[None]
        notes = *about_lines, *result.notes, *about_reuse
        return MadeImage(self._header(gathered, scan, values), self._attributes(notes, result), values)

    def begin(self, line: Line) -> None:
        """Place a line that comes before its slice is complete, where an earlier repetition has shown the others."""
        if line.head['flags'] & (NOISE | LEFT_OUT):
            return
        key = key_of(line)
        known, begun = self._known.get(key[:-1]), self._begun.get(key)
        if begun is None and known and known.n_bytes * (len(self._begun) + 1) <= self.limits.held_bytes:
            begun = self._begun.setdefault(key, Begun.of(known))
        if begun is not None:
            begun.add(line)

    def _scan(self, gathered: Gathered) -> tuple[Scan, Sequence[str]]:
        """With all lines in their places."""
        begun = self._begun.pop(gathered.key, None)
        scan = begun.scan(gathered) if begun else None
        if begun and scan:
            return scan, begun.known.notes
        scan, notes, known = scan_of(self.header, gathered)
        if known and len(self._known) < KEPT:
            self._known[gathered.key[:-1]] = known
        return scan, notes

    def _reconstructed(
        self, scan: Scan, gathered: Gathered, progress: Progress
    ) -> tuple[Reconstruction, tuple[str, ...]]:
        """With what an earlier repetition has taught, where that is wanted and there is one of the same pattern."""
        options = self.options
        key = (gathered.key[:-1], tuple(scan.kspace.shape), tuple(scan.mask.flatten().tolist()))
        known = self._fitted.get(key, ()) if options.reuse else ()
        result = reconstruct(
            scan,
            options.method,
            device=options.device,
            combine=COMBINATIONS['walsh' if options.adaptive else 'rss'],
            coils=options.coils,
            progress=progress,
            fitted=known,
        )
        if options.reuse and len(self._fitted) < KEPT:
            self._fitted.setdefault(key, result.interpolators)
        return result, (REUSED,) * bool(known)

    def _require_affordable(self, gathered: Gathered) -> None:
        n_coils, n_samples = (max(line.samples.shape[axis] for line in gathered.lines) for axis in (0, 1))
        matrices = [(max(n_samples, x), y, z) for x, y, z in (each.encoded.matrix for each in self.header.encodings)]
        matrix = max(matrices, key=prod)
        n_bytes = COMPLEX64_BYTES * n_coils * prod(matrix)
        if n_bytes > self.limits.held_bytes:
            raise ResourceError(
                f'a matrix of {" x ".join(map(str, matrix))} with {n_coils} coils needs {n_bytes / 1e9:.1f} GB, '
                f'and a connection may use {self.limits.held_bytes / 1e9:.1f} GB: allow more memory'
            )

    def _values(self, image: Tensor) -> np.ndarray:
        """Float32, complex64, or whole numbers of 12 bits with one scale for all images of a connection."""
        values = image.float().numpy()
        if self.options.complex:
            return values.astype(np.complex64)
        if not self.options.integers:
            return values
        if self._scale is None:
            self._scale = BRIGHTEST / max(float(values.max()), float(np.finfo(np.float32).tiny))
        return (values * self._scale).round().clip(0, LARGEST).astype(np.uint16)

    def _header(self, gathered: Gathered, scan: Scan, values: np.ndarray) -> np.ndarray:
        voxel = scan.voxel_size or (1e-3,) * (scan.n_phase_axes + 1)
        sizes = [1e3 * size * n for size, n in zip(voxel, values.shape[-len(voxel) :], strict=True)]
        thickness = self.header.first.reconstructed.field_of_view[2] * 1e3
        field_of_view = [*sizes[::-1], *([thickness] if len(sizes) == 2 else [])]
        index = 1 + (self._n_made - 1) % LARGEST_INDEX
        fields = {'image_index': index, 'image_series_index': 1, 'average': 0}
        return image_header(values, field_of_view, image_line(gathered.lines).head, fields)

    def _attributes(self, notes: Sequence[str], result: Reconstruction) -> dict[str, object]:
        attributes = attributes_of_method(self.options.name)
        attributes |= {'RakiNote': list(notes)} if notes else {}
        attributes |= {'RakiWarning': list(result.warnings)} if result.warnings else {}
        if self.options.integers:
            attributes |= {
                'RescaleSlope': 1 / (self._scale or 1),
                'WindowCenter': BRIGHTEST // 2,
                'WindowWidth': BRIGHTEST,
            }
        return attributes


def scan_of(header: Header, gathered: Gathered) -> tuple[Scan, Sequence[str], Known | None]:
    """Place the lines of one slice or volume as those of a file are placed, and tell what was decided.

    Also how later repetitions are understood, where headers alone have told that.
    """
    head = np.array([line.head for line in gathered.lines], ACQUISITION)
    source = HeldSamples([line.samples for line in gathered.lines])
    reader, decided = understood(header, Acquisitions(head, source, PATH))
    is_by_headers = not source.is_read
    file = file_of(reader, PATH, 'MRD stream', decided)
    scan = file.read([0], file.frames_with(**gathered.labels)[0])
    return scan, file.notes, Known.of(reader, file.notes, gathered) if is_by_headers else None
