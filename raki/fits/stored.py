"""One file of fits: arrays as safetensors, and in its header JSON that says what they are; nothing in it is code.

The header's only entry, `raki`, is an object with `format`, `manifest`, `fits` as `raki.data.records` writes them,
`arrays`, and `sha256` of the file, see `raki.data.digests`. Complex numbers are stored as pairs of real ones, and
arrays in the order that they have in memory, which `arrays` tells: products of matrices round by it, so that k-space
that is filled in from a file has the bits that it has without one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from raki.data.boundary import reading, require_file
from raki.data.digests import MARK, PLACEHOLDER, require_whole, seal
from raki.data.memory import require_memory
from raki.data.records import packed, unpacked
from raki.data.save import replacing
from raki.errors import ScanError
from raki.fits.known import makers
from raki.fits.sound import require_sound
from raki.interpolation.fit import Interpolator

FORMAT = 'raki fits 1'
"""Name and version of the format."""

KINDS = {
    str(kind).removeprefix('torch.'): kind
    for kind in (torch.bool, torch.int64, torch.float32, torch.float64, torch.complex64, torch.complex128)
}
"""Types of arrays by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What was learnt of one slice or volume."""

    interpolator: Interpolator
    """What fills it in."""

    slice: int | None = None
    """Number of the slice in its file; None of a volume that is filled in whole."""

    moments: Tensor | None = None
    """Mean of k_i conj(k_j) over all samples that were measured, complex128, axes (coil, coil), in the unit of k-space
    squared: how bright the scan was, and what its coils had in common."""


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """What a file of fits holds."""

    every: tuple[Fit, ...]
    """One for each slice, or one for a volume."""

    manifest: Mapping[str, Any] = field(default_factory=dict)
    """What they were made of and how."""

    name: str = ''
    """Of the file that they were read from."""

    digest: str = ''
    """Its sha256, as it is stored in it."""

    @property
    def interpolators(self) -> tuple[Interpolator, ...]:
        """As `raki.reconstruct` takes them."""
        return tuple(each.interpolator for each in self.every)

    def of(self, number: int | None) -> Fit:
        """The fit of a slice, or of a volume; a ScanError if there is none."""
        found = next((each for each in self.every if each.slice == number), None)
        if found is None:
            there = [str(each.slice) for each in self.every if each.slice is not None]
            held = f'slice(s) {", ".join(there)}' if there else 'a whole volume'
            wanted = 'a whole volume' if number is None else f'slice {number}'
            raise ScanError(f'{self.name or "the fits"}: there is no fit of {wanted}, only of {held}: choose others')
        return found


def write_fits(path: str | Path, every: Sequence[Fit], manifest: Mapping[str, Any]) -> None:
    """Write fits, all or nothing.

    Parameters
    ----------
    path
        File to write.
    every
        What was learnt.
    manifest
        What it was learnt from and how; only what JSON can hold.

    Raises
    ------
    TypeError
        If something of it cannot be stored, such as a method from elsewhere.
    OSError
        If the file cannot be written.
    """
    with replacing(path) as temporary:
        put_fits(temporary, every, manifest)


def put_fits(path: Path, every: Sequence[Fit], manifest: Mapping[str, Any]) -> None:
    """Write fits into a new file that somebody else puts in its place, see `write_fits`."""
    arrays: list[Tensor] = []
    plain = packed([_without_samples(each) for each in every], arrays)
    laid = [_laid_out(array) for array in arrays]
    about = {'format': FORMAT, 'manifest': dict(manifest), 'fits': plain, 'arrays': [each for each, _ in laid]}
    put(path, about, [tensor for _, tensor in laid])


def put(path: Path, about: Mapping[str, Any], tensors: Sequence[Tensor]) -> None:
    """Write a file whose header says this about its arrays, and its sum."""
    text = json.dumps({**about, 'sha256': PLACEHOLDER}, allow_nan=False)
    path.write_bytes(save({str(number): tensor for number, tensor in enumerate(tensors)}, metadata={'raki': text}))
    seal(path)


def read_fits(path: str | Path) -> Fits:
    """Read fits that `write_fits` wrote; whatever else the file holds, nothing of it is run.

    Raises
    ------
    ScanError
        If it is no such file, was changed or damaged, or holds what does not fit together.
    ResourceError
        If it is too large for this machine.
    """
    path = Path(path)
    require_file(path)
    require_memory(path.stat().st_size, str(path))
    with reading(path, ' as fits'):
        about, tensors = opened(path)
        digest = str(about.pop('sha256', '')).removeprefix(MARK)
        if about.get('format') != FORMAT:
            raise ScanError(f'{path}: its format is {about.get("format")!r:.60}, and this version reads {FORMAT!r}')
        return replace(_fits(about, tensors), name=path.name, digest=digest)


def _without_samples(fit: Fit) -> Fit:
    """Refinements know the lines that they were learnt from, and need them no longer."""
    interpolator = fit.interpolator
    evidence = getattr(interpolator.refinement, 'evidence', None)
    if evidence is None:
        return fit
    empty: Any = replace(evidence, lines=evidence.lines[..., :0])
    refinement = replace(interpolator.refinement, evidence=empty)  # pyright: ignore
    return replace(fit, interpolator=replace(interpolator, refinement=refinement))


def _laid_out(array: Tensor) -> tuple[list[Any], Tensor]:
    """Type and order of axes of an array, and its numbers as real ones in the order of memory."""
    values = array.detach().cpu().resolve_conj().resolve_neg()
    order = sorted(range(values.ndim), key=lambda axis: (-values.stride(axis), axis))
    plain = values.permute(order).clone(memory_format=torch.contiguous_format)
    real = torch.view_as_real(plain) if plain.is_complex() else plain
    return [str(values.dtype).removeprefix('torch.'), list(real.shape), order], real


def _restored(laid: Any, tensor: Tensor) -> Tensor:
    match laid:
        case [str(name), list(shape), list(order)] if name in KINDS and shape == list(tensor.shape):
            values = _complex(tensor) if KINDS[name].is_complex else tensor
            if values.dtype == KINDS[name] and sorted(order) == list(range(values.ndim)):
                return values.permute([order.index(axis) for axis in range(values.ndim)])
    raise ValueError(f'an array is {tensor.dtype} of {tuple(tensor.shape)}, and should be {str(laid)[:60]}')


def _complex(pairs: Tensor) -> Tensor:
    is_pairs = pairs.dtype in (torch.float32, torch.float64) and pairs.ndim > 0 and pairs.shape[-1] == 2
    return torch.view_as_complex(pairs) if is_pairs else pairs


def opened(path: Path) -> tuple[dict[str, Any], list[Tensor]]:
    """What the header of a file says about its arrays, and these, as `put` took them; a ScanError if it was changed."""
    require_whole(path)
    with safe_open(path, framework='pt') as file:
        about = json.loads((file.metadata() or {}).get('raki', 'null'), parse_constant=_refused)
        names = file.keys()
        if not isinstance(about, dict) or set(names) != {str(number) for number in range(len(names))}:
            raise ValueError('it is no file that raki wrote')
        return about, [file.get_tensor(str(number)).clone() for number in range(len(names))]


def _refused(constant: str) -> NoReturn:
    raise ValueError(f'it holds {constant}, which no fit does')


def _fits(about: Mapping[str, Any], tensors: Sequence[Tensor]) -> Fits:
    laid, manifest = about.get('arrays'), about.get('manifest')
    if not isinstance(laid, list) or not isinstance(manifest, dict) or len(laid) != len(tensors):
        raise ValueError('its list of arrays is not that of the arrays')
    arrays = [_restored(each, tensor) for each, tensor in zip(laid, tensors, strict=True)]
    every = unpacked(about.get('fits'), arrays, makers(Fit))
    if not isinstance(every, list) or not all(isinstance(each, Fit) for each in every):
        raise ValueError('it holds something else than fits')
    for each in every:
        _require_sound(each)
    return Fits(tuple(every), manifest)


def _require_sound(fit: Fit) -> None:
    require_sound(fit.interpolator)
    n_coils = fit.interpolator.n_coils
    if fit.moments is not None and n_coils is not None and fit.moments.shape != (n_coils, n_coils):
        raise ValueError(f'moments of {tuple(fit.moments.shape)} between {n_coils} coils')
