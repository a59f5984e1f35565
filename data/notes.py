"""What readers tell people: sentences that know which step they are about, and whether they are cautions."""

from collections.abc import Iterable

LEFT_OUT, OVERSAMPLING, AVERAGES = 'flags', 'oversampling', 'averages'

STEPS = (LEFT_OUT, OVERSAMPLING, AVERAGES)
"""Steps of reading that are listed by name: what was left out, cropped along the readout, averaged."""


class Note(str):
    """A sentence on what a reader decided or found remarkable; a text to all who only show or store it.

    Parameters
    ----------
    text
        The sentence.
    step
        Which of STEPS it is about; None for any other.
    is_caution
        Whether people should check it: the file leaves it open, contradicts itself, or lost something.

    Raises
    ------
    ValueError
        If there is no such step.
    """

    __slots__ = ('is_caution', 'step')
    is_caution: bool
    step: str | None

    def __new__(cls, text: str, step: str | None = None, *, is_caution: bool = False) -> 'Note':
        """A text with two fields."""
        if step is not None and step not in STEPS:
            raise ValueError(f'a note is about a step of {", ".join(STEPS)}, or none, got {step!r}')
        note = super().__new__(cls, text)
        note.step, note.is_caution = step, is_caution
        return note


def caution(text: str, step: str | None = None) -> Note:
    """A note that people should check."""
    return Note(text, step, is_caution=True)


def oversampling_removed(n_samples: int, n_readout: int) -> Note:
    """What every reader says that crops the field of view along the readout."""
    return Note(f'readout oversampling removed: {n_samples} to {n_readout} samples', OVERSAMPLING)


def about(step: str, notes: Iterable[Note]) -> list[Note]:
    """Those about a step."""
    return [note for note in notes if note.step == step]


def cautions_of(notes: Iterable[Note]) -> list[Note]:
    """Those that are cautions."""
    return [note for note in notes if note.is_caution]
