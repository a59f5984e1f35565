"""Raw data from any format that is read to one of those that are written, and what is lost on the way."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from raki.data.mrd.description import SUBJECT
from raki.data.raw.cfl import write_cfl_raw
from raki.data.raw.fastmri import write_fastmri_raw
from raki.data.raw.mrd import write_mrd_raw
from raki.data.save import NewFiles, by_suffix, replacing_all
from raki.data.scan import ScanFile

Conversion = Callable[[Path, ScanFile, Mapping[str, str], Mapping[str, object], NewFiles], list[str]]
"""Writes (path, scan, who the patient is, what made the file, what gives a new file in the stead of a path); gives what
it had to leave out, a few words each."""


class Target(NamedTuple):
    """A format of raw data."""

    write: Conversion
    """What writes it."""

    identity: Collection[str]
    """What of the patient it can hold, by the names of MRD's header."""


FASTMRI = Target(write_fastmri_raw, (*SUBJECT, 'patient_id'))

TARGETS: Mapping[str, Target] = {
    '.mrd.h5': Target(write_mrd_raw, SUBJECT),
    '.h5': FASTMRI,
    '.hdf5': FASTMRI,
    '.hdf': FASTMRI,
    '.cfl': Target(write_cfl_raw, ()),
}
"""Formats by the suffix of their files; the first that fits decides."""

ACQUISITIONS = ('ISMRMRD HDF5', 'Siemens raw data')
"""Sources whose acquisitions have headers."""

FREE_TEXT = ('protocol', 'source', 'notes')
"""Facts in somebody's own words, which may name the patient."""


def target_of(path: str | Path) -> Target:
    """Give the format that the suffix of a path asks for; a ValueError names the known ones."""
    return by_suffix(path, TARGETS, 'raw data have')


def convert(
    scan: ScanFile, path: Path, *, keep_phi: bool = False, manifest: Mapping[str, object] = MappingProxyType({})
) -> list[str]:
    """Write a scan as it is read, all or nothing, with what made it; return what was left out, a few words each.

    Memory stays that of one slab. K-space and mask are the same bits, without readout oversampling where the reader
    removes it.
    """
    target, known = target_of(path), dict(scan.identity)
    if 'patient_id' in known:
        known.setdefault('patientID', known['patient_id'])
    subject = {name: text for name, text in known.items() if name in target.identity} if keep_phi else {}
    made = {'manifest': dict(manifest)}
    with replacing_all() as new_file:
        lost = target.write(path, scan, subject, made, new_file)
        new_file.describe(path.with_name(f'{path.name}.json'), made)
    text, hidden = [name for name in FREE_TEXT if name in scan.facts], sorted(set(scan.identity) - set(subject))
    lost += ['time stamps, dwell times and user fields of acquisitions'] * scan.format.startswith(ACQUISITIONS)
    lost += ['which samples of an asymmetric echo were measured'] * (scan.read_slab(0, 0).readout is not None)
    lost += [f'free text of the header ({", ".join(text)})'] * bool(text)
    hint = '' if keep_phi else ': --keep-phi keeps it'
    return lost + [f'who the patient is ({", ".join(hidden)}){hint}'] * bool(hidden)
