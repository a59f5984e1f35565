"""What a scan is, once it has been read: frozen domain types without any file access."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from raki.data.glance import UNFILLED, Glance, Glimpsed, Seen, matrix_of, measured_image, sampling_of
from raki.data.notes import Note
from raki.data.place import Frame, Geometry, Place
from raki.errors import SamplingError, ScanError
from raki.fourier import centre_crop, image_from_kspace

SLABBED = ('kspace', 'calibration', 'reference')
"""Fields of a scan with slabs along their first axis."""


def _require(condition: bool, wanted: str, got: object) -> None:
    if not condition:
        raise ScanError(f'{wanted}, got {got}')


def _shape_of(array: Tensor | None) -> tuple[int, ...] | None:
    return None if array is None else tuple(array.shape)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scan(Glimpsed):
    """Slabs of one Cartesian multi-coil acquisition with one sampling pattern. Never changed after loading.

    A slab is a slice, with the phase axis ky, or a volume, with the phase axes kz and ky.
    """

    kspace: Tensor
    """Complex k-space, axes (slab, coil, ky, kx) or (slab, coil, kz, ky, kx); kx is the readout, DC at n//2 on all but
    slab and coil. Zero where not measured."""

    mask: Tensor
    """Boolean, axes (ky,) or (kz, ky): which readouts were measured. The only truth about sampling."""

    calibration: Tensor | None = None
    """Separately measured calibration, axes as kspace with its own number of readouts; None where the ACS is part of
    kspace."""

    noise: Tensor | None = None
    """Noise-only samples with the variance of a k-space sample, axes (coil, sample), where the scan has them."""

    reference: Tensor | None = None
    """Fully sampled truth for kspace, axes as kspace, where it is known."""

    image_shape: tuple[int, ...] | None = None
    """Size (y, x) or (z, y, x) that images are cropped to [pixel]; None keeps the size of kspace."""

    voxel_size: tuple[float, ...] | None = None
    """Size of a voxel along (y, x) or (z, y, x) [m], where the file tells."""

    readout: range | None = None
    """Positions along kx that were measured (asymmetric echo), where samples beyond are not zero because readout
    oversampling was removed; None where zeros tell."""

    mended: tuple[str, ...] = ()
    """What was no finite number and was replaced as it was read, one sentence each; see `raki.data.damage.holes`."""

    def __post_init__(self) -> None:
        self._require_sampled()
        self._require_alike()
        for name, sizes in (('image_shape', self.image_shape), ('voxel_size', self.voxel_size)):
            n_axes = self.n_phase_axes + 1
            _require(sizes is None or len(sizes) == n_axes, f'{name} must have {n_axes} entries', sizes)

    def _require_sampled(self) -> None:
        """K-space, and a mask that fits it."""
        kspace, mask, shape = self.kspace, self.mask, tuple(self.kspace.shape)
        _require(
            kspace.ndim in (4, 5) and kspace.is_complex(),
            'kspace must be complex with axes (slab, coil, ky, kx) or (slab, coil, kz, ky, kx)',
            f'{kspace.dtype} {shape}',
        )
        _require(
            mask.dtype == torch.bool and tuple(mask.shape) == shape[2:-1],
            f'mask must be boolean with axes {("(ky,)", "(kz, ky)")[self.n_phase_axes - 1]} of size {shape[2:-1]}',
            f'{mask.dtype} {tuple(mask.shape)}',
        )

    def _require_alike(self) -> None:
        """What else was measured fits k-space."""
        shape = tuple(self.kspace.shape)
        calibration, reference, noise = map(_shape_of, (self.calibration, self.reference, self.noise))
        _require(
            calibration is None or (len(calibration) == len(shape) and calibration[:2] == shape[:2]),
            f'calibration must have {len(shape)} axes and the slabs and coils {shape[:2]} of kspace',
            calibration,
        )
        _require(reference in (None, shape), f'reference must have the shape of kspace {shape}', reference)
        _require(
            noise is None or (len(noise) == 2 and noise[0] == self.n_coils),
            f'noise must have axes (coil, sample) with {self.n_coils} coils',
            noise,
        )
        n_readout, inside = self.kspace.shape[-1], self.readout
        _require(
            inside is None or (inside.step == 1 and 0 <= inside.start < inside.stop <= n_readout),
            f'readout must be positions among {n_readout}',
            inside,
        )

    @property
    def glance(self) -> Glance:
        """What is said of it in few words."""
        there = [name for name in ('noise', 'reference') if getattr(self, name) is not None]
        facts = [*matrix_of(self.kspace.shape), *sampling_of(self.mask, self.calibration), *there]
        return Glance('Scan', facts, lambda: ((), self.seen[1]), UNFILLED)

    @property
    def seen(self) -> Seen:
        """Sampling in words, and an image (y, x) of what was measured in the middle slice, in an arbitrary unit."""
        words = sampling_of(self.mask, self.calibration)
        return words, measured_image(self.kspace[self.n_slabs // 2], self.mask, self.image_shape)

    @property
    def n_slabs(self) -> int:
        """Number of slices or volumes."""
        return self.kspace.shape[0]

    @property
    def n_coils(self) -> int:
        """Number of receiver coils."""
        return self.kspace.shape[1]

    @property
    def n_phase_axes(self) -> int:
        """1 of slices (ky), 2 of volumes (kz, ky)."""
        return self.kspace.ndim - 3

    @property
    def has_full_kz(self) -> bool:
        """Whether all partitions were measured alike, so that it is slices; true of slices, not of a plane (kx = 1)."""
        partitions = self.mask.reshape(-1, self.mask.shape[-1])
        return not self._is_plane and bool((partitions == partitions[0]).all()) and bool(partitions.any())

    @property
    def _is_plane(self) -> bool:
        return self.n_phase_axes == 2 and self.kspace.shape[-1] == 1

    def only(self, index: int) -> 'Scan':
        """One slab of it."""
        return self._with(lambda array: array[index : index + 1])

    def _with(self, change: Callable[[Tensor], Tensor], **others: object) -> 'Scan':
        """Change kspace, calibration and reference alike, and other fields to what is given."""
        arrays = {name: getattr(self, name) for name in SLABBED}
        changed = {name: change(array) for name, array in arrays.items() if array is not None}
        return replace(self, **changed, **others)

    def as_slices(self) -> 'Scan':
        """Transform kz of a volume away where all partitions were measured alike: slices, a slab each.

        There are as many as images are cropped to; of a plane, a readout of one sample, one with axes (kz, ky), where
        all was measured. The noise of a sample keeps its variance, because the transform is orthonormal. Slices stay
        as they are. A SamplingError if partitions, those of a separate calibration included, were measured differently,
        or some not at all.
        """
        if self.n_phase_axes == 1:
            return self
        sizes = {name: getattr(self, name) for name in ('image_shape', 'voxel_size') if getattr(self, name)}
        if self._is_plane and bool(self.mask.all()):
            kept = {name: size[:-1] for name, size in sizes.items()}
            return self._with(lambda array: array[..., 0], mask=self.mask.any(1), **kept)
        self._require_full_kz()
        n_slices = self.image_shape[0] if self.image_shape else len(self.mask)

        def slices_of(kspace: Tensor) -> Tensor:
            slices = centre_crop(image_from_kspace(kspace, (-3,)), (n_slices, *kspace.shape[-2:]))
            return slices.transpose(1, 2).flatten(0, 1).contiguous()

        return self._with(slices_of, mask=self.mask[0], **{name: size[1:] for name, size in sizes.items()})

    def _require_full_kz(self) -> None:
        calibration, n_partitions = self.calibration, len(self.mask)
        if self.has_full_kz and (calibration is None or calibration.shape[2] == n_partitions):
            return
        raise SamplingError(
            f'kz can be transformed away where all {n_partitions} partitions have the same lines, but they have '
            f'{sorted(set(self.mask.sum(1).tolist()))} lines at different positions'
            f'{"" if calibration is None else f" and calibration has {calibration.shape[2]} partitions"}: '
            'two axes are accelerated, so reconstruct the volume as a whole'
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScanFile(Glimpsed):
    """A recognised file, of which only the headers have been read; samples come slab by slab."""

    path: str
    """The file, as the user named it."""

    format: str
    """What the file was recognised as, in words."""

    shape: tuple[int, ...]
    """Size of one frame's kspace, axes as `Scan.kspace`."""

    read_slab: Callable[[int, int], Scan]
    """Read one slice or volume: (slab, number of the frame) to a Scan with one slab."""

    frames: Sequence[Frame] = (Frame(),)
    """The repetitions, contrasts, phases and sets in which all slabs were measured; each may have its own masks."""

    geometries: Sequence[Geometry] = ()
    """Place of every slab, where the file tells; else empty."""

    image_shape: tuple[int, ...] | None = None
    """As `Scan.image_shape`."""

    facts: Mapping[str, str] = field(default_factory=dict)
    """What the header states, for people."""

    identity: Mapping[str, str] = field(default_factory=dict)
    """What may tell who the patient is, by the names in the file. Never shown or written unless asked for."""

    notes: Sequence[Note] = ()
    """What the reader decided or found remarkable, one sentence each; some are cautions."""

    readout_is_rows: bool = False
    """Whether the file's own images have the readout along their rows (fastMRI); results are written likewise."""

    @property
    def glance(self) -> Glance:
        """What is said of it in few words; of slices the middle one is read for it."""
        frames = [f'{self.n_frames} frames'] * (self.n_frames > 1)
        facts = [repr(self.path), self.format, *matrix_of(self.shape), *frames]
        look = None if len(self.shape) > 4 else lambda: self.read([self.shape[0] // 2]).seen
        return Glance('ScanFile', facts, look, UNFILLED, self.notes)

    @property
    def n_slices(self) -> int:
        """Number of images (y, x) of one repetition."""
        images = self.image_shape or self.shape[2:]
        return self.shape[0] if len(images) == 2 or images[-1] == 1 else self.shape[0] * images[0]

    @property
    def n_frames(self) -> int:
        """How many times all of it was measured."""
        return len(self.frames)

    def read(self, slabs: Sequence[int] | None = None, frame: int = 0) -> Scan:
        """Read `slabs` (default all), which are slices or volumes, of one frame, by its number, into memory.

        A ScanError if a slab or the frame does not exist, or slabs have different sampling patterns.
        """
        chosen = range(self.shape[0]) if slabs is None else slabs
        self._require_below(self.shape[0], 'slice' if len(self.shape) == 4 else 'volume', chosen)
        self._require_below(self.n_frames, 'frame', [frame])
        return stacked([self.read_slab(index, frame) for index in chosen])

    def require_known(self, slices: Iterable[int]) -> None:
        """Raise a ScanError if one of these slices (images of a frame) does not exist."""
        self._require_below(self.n_slices, 'slice', slices)

    def frames_with(self, **labels: int | None) -> list[int]:
        """Numbers of frames with these labels (see `raki.data.place.Frame`), None for any; ScanError without one."""
        wanted = {name: value for name, value in labels.items() if value is not None}
        for name, value in wanted.items():
            there = sorted({getattr(frame, name) for frame in self.frames})
            if value not in there:
                known = f'{name} {there[0]}' if len(there) == 1 else f'{name}s {", ".join(map(str, there))}'
                raise ScanError(f'{self.path}: no {name} {value}; the file has {known}')
        found = [n for n, frame in enumerate(self.frames) if all(getattr(frame, k) == v for k, v in wanted.items())]
        if not found:
            named = ', '.join(f'{name} {value}' for name, value in wanted.items())
            raise ScanError(f'{self.path}: no frame has {named} at once: leave one of them out')
        return found

    def place(self, slice_index: int, frame: int = 0) -> Place:
        """Where an image of a frame belongs."""
        slab, along = divmod(slice_index, n_along := max(1, self.n_slices // self.shape[0]))
        if not self.geometries:
            return Place(slice_index, self.frames[frame])
        return Place(slice_index, self.frames[frame], self.geometries[slab].partition(along - n_along // 2))

    def _require_below(self, number: int, kind: str, chosen: Iterable[int]) -> None:
        if unknown := [index for index in chosen if not 0 <= index < number]:
            raise ScanError(f'{self.path}: no {kind} {unknown[0]}; the file has {kind}s 0 to {number - 1}')


def stacked(scans: Sequence[Scan]) -> Scan:
    """Join scans of the same pattern along the slab axis."""
    first = scans[0]
    if len(scans) == 1:
        return first
    if any(not torch.equal(first.mask, scan.mask) for scan in scans):
        raise ScanError('these slices have different sampling patterns: read and reconstruct them one by one')

    def joined(name: str) -> Tensor | None:
        arrays = [getattr(scan, name) for scan in scans]
        return None if any(array is None for array in arrays) else torch.cat(arrays)

    mended = tuple(text for scan in scans for text in scan.mended)
    return replace(first, **{name: joined(name) for name in SLABBED}, mended=mended)
