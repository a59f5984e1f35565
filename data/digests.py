"""Sums that tell whether a file, or a set of files, is still what was written.

A file carries its own sum as text, MARK and 64 digits: the sha256 of all of its bytes, with zeros as these digits. In
HDF5 it is the attribute `sha256`, in JSON the key of that name, in pages a comment. So any program can check it, and
checking needs no library that a damaged file could lead astray. Files that have no place for it are one set with a
manifest: a JSON that carries its own sum, and those of the others under `files`.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from raki.errors import ScanError

MARK = 'sha256 of this file with zeros as digits: '
PLACEHOLDER = MARK + 64 * '0'
"""What a file holds until it is sealed, or the sum of itself for ever."""

FILES = 'files'
"""Of a manifest: size and sum of every other file of the set, by its path from there."""

MOST_FILES = 100_000
"""So many files and folders are looked for in a folder [1]."""

LARGEST_MANIFEST = 1 << 28
"""Size of a JSON that may be a manifest [byte]; larger ones of others are not looked into."""

BLOCK = 1 << 20

CHANGED = 'changed since it was written'
EMPTY = 'is empty'
UNKNOWN = 'carries no digest, and no manifest beside it names it'


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one file."""

    path: Path
    problem: str = ''
    """What is wrong with it, in a few words; empty where it is what was written."""


def sum_of(path: str | Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with Path(path).open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def described(path: Path) -> dict[str, Any]:
    """Size [byte] and sum of a file, as manifests have them."""
    return {'bytes': path.stat().st_size, 'sha256': sum_of(path)}


def seal(path: Path) -> None:
    """Put the sum of a file in the place that it has for that; a ScanError if there is none."""
    with path.open('rb+') as file:
        start = _digits(file)
        file.seek(start or 0)
        if start is None or file.read(64) != 64 * b'0':
            raise ScanError(f'{path.name}: has no place for its sum, or text of the scan looks like one')
        digits = _sum_without(file, start)
        file.seek(start)
        file.write(digits)


def sealed_bytes(content: bytes) -> bytes:
    """What a file will hold, with its own sum for its last PLACEHOLDER."""
    before, _, after = content.rpartition(PLACEHOLDER.encode())
    return before + f'{MARK}{hashlib.sha256(content).hexdigest()}'.encode() + after


def sealed(text: str) -> str:
    """Text with its own sum for its last PLACEHOLDER."""
    return sealed_bytes(text.encode()).decode()


def sealed_json(values: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """JSON of values, with the sums of files that lie elsewhere until all are written, by their names, and its own."""
    sums = {name: described(path) for name, path in files.items()}
    return sealed(json.dumps({**values, FILES: sums, 'sha256': PLACEHOLDER}, indent=1) + '\n')


def is_whole(path: Path) -> bool | None:
    """Whether a file is what was sealed; None if it carries no sum."""
    with path.open('rb') as file:
        start = _digits(file)
        if start is None:
            return None
        file.seek(start)
        return file.read(64) == _sum_without(file, start)


def require_whole(path: Path) -> None:
    """Raise a ScanError unless a file carries its sum and is what was sealed."""
    if not is_whole(path):
        raise ScanError(f'{path}: is damaged, or not of raki: its bytes have another sum than it carries')


def verify(path: Path) -> list[Verdict]:
    """Check a file with its set, or everything in a folder but what is hidden; one verdict for every file.

    A file is checked by the sum that it carries, or by a manifest in the same folder; what a manifest names is checked
    with it, and so is its set with a file that a manifest names.
    """
    try:
        if path.is_dir():
            return _verified_folder(path)
        if not path.is_file():
            return [Verdict(path, 'is no file' if path.exists() else 'is not there')]
        return _verified_file(path)
    except OSError as error:
        return [Verdict(path, _unread(error))]


def _unread(error: OSError) -> str:
    return f'cannot be read ({error.strerror})'


def _verified_file(path: Path, *, may_be_named: bool = True) -> list[Verdict]:
    """Check a file with its set; without looking for one that names it where that is known to be in vain."""
    if not path.stat().st_size:  # also what systems make up as it is read, which may never end
        return [Verdict(path, EMPTY)]
    whole = is_whole(path)
    manifest = path if whole is not None else _manifest_of(path) if may_be_named else None
    if manifest is None:
        return [Verdict(path, UNKNOWN)]
    if whole is False:
        return [Verdict(path, CHANGED)]
    return [Verdict(manifest), *(_verified(manifest, *each) for each in _named(manifest).items())]


def _verified_folder(folder: Path) -> list[Verdict]:
    """Manifests first: what they name needs no second look, and nothing names what is left then."""
    paths, unread = _below(folder)
    found = {each.path: each for each in unread}
    for path in sorted(paths, key=lambda path: (path.suffix != '.json', path)):
        if path not in found:
            try:
                found |= {each.path: each for each in _verified_file(path, may_be_named=False)}
            except OSError as error:
                found[path] = Verdict(path, _unread(error))
    return list(found.values()) or [Verdict(folder, 'holds no files')]


def _below(folder: Path) -> tuple[list[Path], list[Verdict]]:
    """Files in a folder and in those in it, links to folders and what is hidden aside; and folders that tell nothing.

    Without recursion: folders may lie deeper in each other than Python's stack goes.
    """
    files, unread, waiting = list[Path](), list[Verdict](), [folder]
    while waiting:
        inner = waiting.pop()
        try:
            entries = [each for each in os.scandir(inner) if not each.name.startswith('.')]
        except OSError as error:
            unread.append(Verdict(inner, _unread(error)))
            continue
        waiting += [Path(each.path) for each in entries if each.is_dir(follow_symlinks=False)]
        files += [Path(each.path) for each in entries if each.is_file()]
        if len(files) + len(waiting) > MOST_FILES:
            raise ScanError(f'{folder}: holds more than {MOST_FILES} files: name the folders that outputs are in')
    return files, unread


def _verified(manifest: Path, name: str, known: Mapping[str, Any]) -> Verdict:
    path = manifest.parent / name
    try:
        if Path(name).is_absolute() or '..' in Path(name).parts or not path.is_file():
            return Verdict(path, f'is not there, but {manifest.name} names it')
        is_same = path.stat().st_size == known.get('bytes') and sum_of(path) == known.get('sha256')
    except OSError as error:
        return Verdict(path, _unread(error))
    return Verdict(path, '' if is_same else f'is not what {manifest.name} names')


def _named(path: Path) -> dict[str, dict[str, Any]]:
    """What a sealed file names as its set; nothing if it is no manifest."""
    if path.suffix != '.json' or not path.is_file() or path.stat().st_size > LARGEST_MANIFEST:
        return {}
    try:
        values = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return {}
    files = values.get(FILES) if isinstance(values, dict) else None
    return {name: known for name, known in files.items() if isinstance(known, dict)} if isinstance(files, dict) else {}


def _manifest_of(path: Path) -> Path | None:
    """The manifest in the same folder that names a file; of several one of the same name, as sets share it."""

    def is_other(each: Path) -> bool:
        return not path.name.startswith(Path(each.stem).stem)

    files = (each for each in path.parent.glob('*.json') if each.is_file())
    there = sorted(files, key=lambda each: (is_other(each), each))
    return next((each for each in there if is_whole(each) and path.name in _named(each)), None)


def _digits(file: IO[bytes]) -> int | None:
    """Where the digits after the last MARK begin."""
    found, mark, kept = None, MARK.encode(), b''
    file.seek(0)
    while block := file.read(BLOCK):
        text = kept + block
        if (at := text.rfind(mark)) >= 0:
            found = file.tell() - len(text) + at + len(mark)
        kept = text[-len(mark) + 1 :]
    return found


def _sum_without(file: IO[bytes], start: int) -> bytes:
    """Sum of a file with zeros as the 64 digits from `start` on."""
    digest = hashlib.sha256()
    file.seek(0)
    for block in _blocks(file, start):
        digest.update(block)
    digest.update(64 * b'0')
    file.seek(start + 64)
    for block in _blocks(file):
        digest.update(block)
    return digest.hexdigest().encode()


def _blocks(file: IO[bytes], n_bytes: float = float('inf')) -> Iterator[bytes]:
    """From where the file stands, at most so many bytes."""
    while n_bytes > 0 and (block := file.read(int(min(BLOCK, n_bytes)))):
        n_bytes -= len(block)
        yield block
