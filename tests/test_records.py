"""Records: what comes back is what went in, and nothing unknown is ever made."""

import json
import math

import pytest
import torch

from raki.data.notes import Note, caution
from raki.data.place import Frame, Geometry, Place
from raki.data.records import name_of, packed, unpacked
from raki.data.scan import Scan

KNOWN = {name_of(each): each for each in (Note, Frame, Geometry, Place, Scan)}
GEOMETRY = Geometry((0.1, 0.2, 0.3), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.005, 0.001, 0.002))


def back(value: object) -> object:
    arrays: list[torch.Tensor] = []
    plain = json.loads(json.dumps(packed(value, arrays)))
    return unpacked(plain, arrays, KNOWN)


@pytest.mark.parametrize(
    'value',
    [
        None,
        True,
        3,
        0.1,
        math.inf,
        'text',
        (1, 'a', (2.5, None)),
        [1, [2, (3,)]],
        range(3, 11, 2),
        {'a': 1, (1, 2): range(4), 3: {'b': None}},
        torch.complex128,
        Frame(2, 1),
        Place(3, Frame(1), GEOMETRY),
    ],
)
def test_what_comes_back_is_what_went_in(value: object) -> None:
    assert back(value) == value
    assert type(back(value)) is type(value)


def test_notes_keep_what_they_are_about() -> None:
    found = back([caution('beware', 'flags'), Note('so it is')])
    assert isinstance(found, list)
    assert found == ['beware', 'so it is']
    assert [each.is_caution for each in found] == [True, False]
    assert [each.step for each in found] == ['flags', None]


def test_arrays_come_back_in_their_places() -> None:
    kspace = torch.randn(1, 2, 3, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    found = back(Scan(kspace, torch.tensor([True, False, True]), readout=range(1, 3)))
    assert isinstance(found, Scan)
    assert torch.equal(found.kspace, kspace)
    assert found.mask.tolist() == [True, False, True]
    assert (found.readout, found.noise) == (range(1, 3), None)


@pytest.mark.parametrize('value', [print, object(), Frame, {1, 2}, b'bytes'])
def test_only_data_is_stored(value: object) -> None:
    with pytest.raises(TypeError, match='only data can be stored'):
        packed(value, [])


@pytest.mark.parametrize(
    'plain',
    [
        {'class': 'os.system', 'fields': {}},
        {'class': name_of(Frame), 'fields': {'nonsense': 1}},
        {'class': name_of(Frame)},
        {'array': 0},
        {'array': -1},
        {'dtype': 'load'},
        {'range': [0, 1, 0]},
        {},
    ],
)
def test_nothing_unknown_is_made(plain: object) -> None:
    with pytest.raises(ValueError, match=r'a known class is wanted|has other fields'):
        unpacked(plain, [], KNOWN)
