"""What `raki convert` does: raw data from one format to another, and what was lost on the way."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from raki.commands.inputs import as_usage_error, by, require_writable, sizes_by_axis
from raki.commands.origin import inputs_of, named, versions
from raki.commands.settings import Reading
from raki.data.raw.conversion import convert, target_of
from raki.data.scan import Scan, ScanFile


def require_target(output: Path, *sources: Path | str | None) -> None:
    """Raise a UsageError unless raw data can be put there, in the format that the suffix asks for."""
    require_writable(output, *sources)
    with as_usage_error():
        target_of(output)


def convert_file(file: ScanFile, output: Path, reading: Reading, *, keep_phi: bool = False) -> dict[str, Any]:
    """Convert all of a scan, read in this way, all or nothing, and say what was read and what is left out.

    `notes` are what the reader did, such as to remove readout oversampling; `left_out` what the new file cannot hold.
    """
    made = {
        'command': 'convert',
        'options': {**named(reading), 'keep_phi': keep_phi},
        'input': inputs_of(file.path, reading),
        'versions': versions(),
    }
    mended = dict[str, None]()

    def read_slab(slab: int, frame: int) -> Scan:
        scan = file.read_slab(slab, frame)
        mended.update(dict.fromkeys(scan.mended))
        return scan

    left_out = convert(replace(file, read_slab=read_slab), output, keep_phi=keep_phi, manifest=made)
    return {
        'output': str(output),
        'source_format': file.format,
        'shape': sizes_by_axis(file),
        'n_frames': file.n_frames,
        'notes': list(dict.fromkeys([*file.notes, *mended])),
        'left_out': left_out,
    }


def told(report: dict[str, Any]) -> list[str]:
    """Lines for people: what was written, then one for each thing that was changed or left out."""
    sizes = ', '.join(report['shape'])
    first = f'{report["output"]}: {report["n_frames"]} frame(s) of {by(list(report["shape"].values()))} ({sizes})'
    changed = [f'as read: {note}' for note in report['notes']]
    return [first, *changed, *(f'left out: {name}' for name in report['left_out'])]
