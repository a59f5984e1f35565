"""What a scan is, once it has been read: frozen domain types without any file access."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from raki.errors import ScanError

if TYPE_CHECKING:
    from raki.data.volume import Volume


def _require(condition: bool, wanted: str, got: object) -> None:
    if not condition:
        raise ScanError(f'{wanted}, got {got}')


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """Slices of one Cartesian multi-coil acquisition with one sampling pattern. Never changed after loading."""

    kspace: Tensor
    """Complex k-space, axes (slice, coil, ky, kx); kx is the readout, DC at n//2 on both. Zero where not measured."""

    mask: Tensor
    """Boolean, axes (ky,): which phase-encoding lines were measured. The only truth about sampling."""

    calibration: Tensor | None = None
    """Separately measured calibration lines, axes (slice, coil, line, kx); None where the ACS is part of kspace."""

    noise: Tensor | None = None
    """Noise-only samples with the variance of a k-space sample, axes (coil, sample), where the scan has them."""

    reference: Tensor | None = None
    """Fully sampled truth for kspace, axes (slice, coil, ky, kx), where it is known."""

    image_shape: tuple[int, int] | None = None
    """Size (y, x) that images are cropped to [pixel]; None keeps the size of kspace."""

    voxel_size: tuple[float, float] | None = None
    """Size of a voxel along (y, x) [m], where the file tells."""

    readout_is_rows: bool = False
    """Whether the file's own images have the readout along their rows (fastMRI); results are written likewise."""

    def __post_init__(self) -> None:
        kspace, mask = self.kspace, tuple(self.mask.shape)
        _require(
            kspace.ndim == 4 and kspace.is_complex(),
            'kspace must be complex with axes (slice, coil, ky, kx)',
            f'{kspace.dtype} {tuple(kspace.shape)}',
        )
        _require(self.mask.dtype == torch.bool, 'mask must be boolean', self.mask.dtype)
        _require(mask == kspace.shape[2:3], f'mask must have one entry per ky line ({kspace.shape[2]})', mask)
        for name, array in (('calibration', self.calibration), ('reference', self.reference)):
            if array is not None:
                _require(
                    array.ndim == 4 and array.shape[:2] == kspace.shape[:2],
                    f'{name} must have 4 axes and the slices and coils {tuple(kspace.shape[:2])} of kspace',
                    tuple(array.shape),
                )
        if self.noise is not None:
            _require(
                self.noise.ndim == 2 and len(self.noise) == self.n_coils,
                f'noise must have axes (coil, sample) with {self.n_coils} coils',
                tuple(self.noise.shape),
            )

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return self.kspace.shape[0]

    @property
    def n_coils(self) -> int:
        """Number of receiver coils."""
        return self.kspace.shape[1]

    @property
    def n_lines(self) -> int:
        """Number of phase-encoding lines of the matrix, measured or not."""
        return self.kspace.shape[2]

    def only(self, index: int) -> 'Scan':
        """One slice of it."""

        def at(array: Tensor | None) -> Tensor | None:
            return None if array is None else array[index : index + 1]

        kspace = self.kspace[index : index + 1]
        return replace(self, kspace=kspace, calibration=at(self.calibration), reference=at(self.reference))


@dataclass(frozen=True, slots=True, eq=False)
class ScanFile:
    """A recognised file, of which only the headers have been read; samples come slice by slice."""

    path: str
    """The file, as the user named it."""

    format: str
    """What the file was recognised as, in words."""

    shape: tuple[int, int, int, int]
    """Size of one repetition's kspace, axes (slice, coil, ky, kx)."""

    read_slice: Callable[[int, int], Scan]
    """Read one slice: (slice, repetition) to a Scan with one slice."""

    n_repetitions: int = 1
    """How many times the whole volume was measured; every repetition may have its own mask."""

    facts: Mapping[str, str] = field(default_factory=dict)
    """What the header states, for people."""

    notes: Sequence[str] = ()
    """What the reader decided or found remarkable, one sentence each."""

    read_volume: 'Callable[[int], Volume] | None' = None
    """Read a repetition before kz is transformed away, where there is a second phase-encoding axis."""

    def read(self, slices: Sequence[int] | None = None, repetition: int = 0) -> Scan:
        """Read `slices` (default all) of one repetition into memory.

        Raises
        ------
        ScanError
            If a slice or the repetition does not exist, or slices have different sampling patterns.
        """
        chosen = range(self.shape[0]) if slices is None else slices
        self.require_known(chosen, [repetition])
        return stack_slices([self.read_slice(index, repetition) for index in chosen])

    def require_known(self, slices: Sequence[int], repetitions: Sequence[int] = (0,)) -> None:
        """Raise a ScanError if one of these slices or repetitions does not exist."""
        for kind, chosen, number in (('slice', slices, self.shape[0]), ('repetition', repetitions, self.n_repetitions)):
            unknown = [index for index in chosen if not 0 <= index < number]
            if unknown:
                raise ScanError(f'{self.path}: no {kind} {unknown[0]}; the file has {kind}s 0 to {number - 1}')


def stack_slices(scans: Sequence[Scan]) -> Scan:
    """Join scans of the same pattern along the slice axis."""
    first = scans[0]
    if any(not torch.equal(first.mask, scan.mask) for scan in scans):
        raise ScanError('these slices have different sampling patterns: read and reconstruct them one by one')

    def joined(arrays: Sequence[Tensor | None]) -> Tensor | None:
        present = [array for array in arrays if array is not None]
        return torch.cat(present) if len(present) == len(scans) else None

    return replace(
        first,
        kspace=torch.cat([scan.kspace for scan in scans]),
        calibration=joined([scan.calibration for scan in scans]),
        reference=joined([scan.reference for scan in scans]),
    )
