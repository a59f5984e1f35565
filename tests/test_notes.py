"""What readers say is typed: which sentences are cautions, and which step each is about."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from raki.data.notes import STEPS, Note, about, caution, cautions_of, oversampling_removed
from tests.test_mrd_features import EVERY, N_LINES, PLAIN, line, opened, space


def test_a_note_is_a_text_to_all_who_only_show_or_store_it() -> None:
    note = caution('lines of zeros are taken as not measured', 'flags')
    assert note == 'lines of zeros are taken as not measured'
    assert json.loads(json.dumps([note])) == [str(note)]
    assert list(dict.fromkeys([note, Note(note)])) == [note]
    assert (note.step, note.is_caution) == ('flags', True)
    assert (Note('a').step, Note('a').is_caution) == (None, False)


def test_a_note_about_an_unknown_step_is_refused() -> None:
    with pytest.raises(ValueError, match="a step of flags, oversampling, averages, or none, got 'crop'"):
        Note('cropped', 'crop')


def test_cautions_and_steps_are_told_by_type_whatever_the_words() -> None:
    notes = [Note('taken, believed, assumed: left out'), caution('fine'), oversampling_removed(32, 16)]
    assert cautions_of(notes) == ['fine']
    assert [about(step, notes) for step in STEPS] == [[], ['readout oversampling removed: 32 to 16 samples'], []]


TWICE = [line(ky, average=average) for ky in range(N_LINES) for average in range(1 + ky % 2)]
READ = {
    'nothing to say': (lambda: opened(EVERY), [], []),
    'empty acquisitions': (
        lambda: opened([*EVERY, line(0, 'navigation')]),
        [],
        [('flags', '1 navigation acquisitions left out')],
    ),
    'averages': (
        lambda: opened([each for ky in range(N_LINES) for each in (line(ky), line(ky, average=1))]),
        [],
        [('averages', 'lines are the mean of 2 averages')],
    ),
    'unequal averages': (lambda: opened(TWICE), ['lines are the mean of 1 to 2'], [('averages', 'lines are the mean')]),
    'incomplete frames': (
        lambda: opened([*EVERY, *(line(ky, slice=1) for ky in range(N_LINES)), line(3, repetition=1)]),
        ['repetition 1 left out'],
        [('flags', 'repetition 1 left out')],
    ),
    'a centre that was asked for': (lambda: opened(EVERY, centre=(10,)), [], []),
    'a contradicted rate': (
        lambda: opened(EVERY[::2], replace(PLAIN, acceleration=(4, 1))),
        ['the header says R=4, the lines say R=2'],
        [],
    ),
    'partitions that are none': (
        lambda: opened(EVERY, replace(PLAIN, encoded=space(z=4), reconstructed=space(z=4))),
        ['the header says 4 partitions'],
        [],
    ),
}


@pytest.mark.parametrize(('opening', 'cautions', 'told'), READ.values(), ids=READ)
def test_readers_of_acquisitions_mark_theirs(
    opening: Callable, cautions: list[str], told: list[tuple[str, str]]
) -> None:
    notes = opening().notes
    found = cautions_of(notes)
    assert [any(note.startswith(begin) for note in found) for begin in cautions] == [True] * len(cautions)
    assert len(found) == len(cautions)
    of_steps = [(note.step, note) for note in notes if note.step]
    assert len(of_steps) == len(told)
    assert all(
        step == own and note.startswith(begin) for (step, note), (own, begin) in zip(of_steps, told, strict=True)
    )
