"""What headers say about readouts, made consistent: which encoding is the image, how long a readout is, where its echo.

Converters and scanner streams leave some of it out, or state another matrix than they send.
"""

from dataclasses import replace

import numpy as np

from raki.data.mrd.acquisitions import Acquisitions
from raki.data.mrd.header import Encoding, Header, Space
from raki.data.notes import LEFT_OUT, OVERSAMPLING, Note, caution


def with_image_encoding(header: Header, lines: Acquisitions) -> tuple[Header, Acquisitions, list[Note]]:
    """Leave only image lines of the first encoding that has any, whose encoding comes first, and say so."""
    spaces, image = lines.head['encoding_space_ref'].astype(int), lines.is_image
    if not spaces[image].any():
        return header, lines, []
    own = int(spaces[image].min())
    others = image & (spaces != own)
    counts = {space: int((others & (spaces == space)).sum()) for space in np.unique(spaces[others]).tolist()}
    notes = [
        Note(f'{count} image lines of encoding {space} left out: encoding {own} is read', LEFT_OUT)
        for space, count in counts.items()
    ]
    order = [own, *(number for number in range(len(header.encodings)) if number != own)]
    if own >= len(header.encodings):
        notes.append(caution(f'lines refer to encoding {own}, which the header does not have: its first is taken'))
        order = list(range(len(header.encodings)))
    kept = lines.only(~others)
    head = kept.head.copy()
    moved = np.array([order.index(space) if space in order else space for space in spaces[~others].tolist()])
    head['encoding_space_ref'] = np.where(spaces[~others] == own, 0, moved)
    return replace(header, encodings=tuple(header.encodings[number] for number in order)), kept.with_head(head), notes


def with_samples(lines: Acquisitions) -> tuple[Acquisitions, list[Note]]:
    """Leave out acquisitions without any samples, such as the marks at the end of a measurement, and say so."""
    empty = lines.head['number_of_samples'] == 0
    notes = [Note(f'{int(empty.sum())} acquisitions without samples left out', LEFT_OUT)] if empty.any() else []
    return (lines.only(~empty) if empty.any() else lines), notes


def with_slices(header: Header, lines: Acquisitions) -> tuple[Header, list[Note]]:
    """Take a matrix of several partitions, of which all lines have the same, for slices, and say so.

    Converters of some vendors state the number of slices there.
    """
    n_partitions = header.encoded.matrix[2]
    if n_partitions == 1 or len(np.unique(lines.index('kspace_encode_step_2')[lines.is_image])) > 1:
        return header, []
    spaces = (header.first.encoded, header.first.reconstructed)
    encoded, wanted = (
        Space((*each.matrix[:2], 1), (*each.field_of_view[:2], each.field_of_view[2] / each.matrix[2]))
        for each in spaces
    )
    first = replace(header.first, encoded=encoded, reconstructed=wanted)
    note = caution(f'the header says {n_partitions} partitions, but no line is partition encoded: read as slices')
    return replace(header, encodings=(first, *header.encodings[1:])), [note]


def with_readouts(header: Header, lines: Acquisitions) -> tuple[Header, Acquisitions, list[Note]]:
    """Repair the place of the echo, and the matrix along the readout, of every encoding, and say so."""
    head, encodings, notes = lines.head.copy(), list(header.encodings), []
    spaces = np.minimum(head['encoding_space_ref'], len(encodings) - 1)
    for number in range(len(encodings)):
        own = np.flatnonzero((lines.is_image | lines.is_calibration) & (spaces == number))
        if len(own):
            if not lines.is_reversed[own].any():
                notes += _with_echo(head, own, encodings[number].encoded.matrix[0])
            encodings[number], more = _with_matrix(head[own], encodings[number])
            notes += more
    return replace(header, encodings=tuple(encodings)), lines.with_head(head), list(dict.fromkeys(notes))


def _with_echo(head: np.ndarray, own: np.ndarray, n_encoded: int) -> list[Note]:
    """Put the echo of whole readouts in their middle where a header has it elsewhere; changes `head`."""
    sizes, echoes = head['number_of_samples'][own].astype(int), head['center_sample'][own].astype(int)
    is_unstated = not echoes.any() and sizes.min() > 1
    is_whole = len(np.unique(sizes)) == 1 and sizes[0] % n_encoded == 0 and len(np.unique(echoes)) == 1
    if not is_unstated and not (is_whole and echoes[0] != sizes[0] // 2):
        return []
    head['center_sample'][own] = sizes // 2
    stated = 'no sample' if is_unstated else f'sample {echoes[0]}'
    middle = f'the middle, sample {sizes[0] // 2}, is taken'
    return [caution(f'the headers say that {stated} of {sizes[0]} is the echo: {middle}')]


def _with_matrix(heads: np.ndarray, encoding: Encoding) -> tuple[Encoding, list[Note]]:
    """Widen the encoded matrix where readouts are longer: oversampling that the header does not know of."""
    n_encoded = encoding.encoded.matrix[0]
    before = heads['center_sample'].astype(int) - heads['discard_pre']
    after = heads['number_of_samples'].astype(int) - heads['discard_post'] - heads['center_sample']
    needed = int(np.maximum(2 * before, 2 * after - 1).max())
    factor = -(-needed // n_encoded)
    is_longer = (heads['number_of_samples'] > n_encoded).all()
    if factor < 2 or not is_longer or needed < (factor - 0.5) * n_encoded:
        return encoding, []
    n_samples = factor * n_encoded
    note = Note(
        f'the header says {n_encoded} samples along the readout, the lines have {n_samples}: oversampled {factor}x',
        OVERSAMPLING,
    )
    return encoding.with_readout(n_samples), [note]
