"""Layout of MRD headers against the standard's own Python package."""

import ctypes

import ismrmrd
import ismrmrd.hdf5
import numpy as np
import pytest

from raki.data.mrd.acquisitions import Acquisitions, HeldSamples
from raki.data.mrd.layout import ACQUISITION, DATA_TYPES, FLAGS, IMAGE, IMAGE_TYPES, bit, headers
from raki.errors import ScanError


@pytest.mark.parametrize(
    ('own', 'theirs', 'structure', 'size'),
    [
        (ACQUISITION, ismrmrd.hdf5.acquisition_header_dtype, ismrmrd.AcquisitionHeader, 340),
        (IMAGE, ismrmrd.hdf5.image_header_dtype, ismrmrd.ImageHeader, 198),
    ],
)
def test_headers_are_laid_out_as_the_standard_does(own: np.dtype, theirs: np.dtype, structure: type, size: int) -> None:
    assert own == theirs
    assert own.itemsize == ctypes.sizeof(structure) == size


def test_bytes_of_a_header_mean_the_same() -> None:
    """Every field with a value of its own, read back from the bytes of the C structure."""
    written = ismrmrd.AcquisitionHeader()
    written.flags, written.center_sample, written.sample_time_us = 1 << 18, 77, 2.5
    written.idx.segment, written.idx.user[7], written.slice_dir[2], written.user_float[7] = 9, 4, -1, 0.5
    read = np.frombuffer(bytes(written), ACQUISITION)[0]
    assert (read['flags'], read['center_sample'], read['sample_time_us']) == (1 << 18, 77, 2.5)
    assert (read['idx']['segment'], read['idx']['user'][7]) == (9, 4)
    assert (read['slice_dir'][2], read['user_float'][7]) == (-1, 0.5)


NAMES = {
    'noise': 'ACQ_IS_NOISE_MEASUREMENT',
    'calibration': 'ACQ_IS_PARALLEL_CALIBRATION',
    'calibration and image': 'ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING',
    'reversed': 'ACQ_IS_REVERSE',
    'navigation': 'ACQ_IS_NAVIGATION_DATA',
    'phase correction': 'ACQ_IS_PHASECORR_DATA',
    'last in measurement': 'ACQ_LAST_IN_MEASUREMENT',
    'feedback': 'ACQ_IS_HPFEEDBACK_DATA',
    'dummy': 'ACQ_IS_DUMMYSCAN_DATA',
    'real-time feedback': 'ACQ_IS_RTFEEDBACK_DATA',
    'surface-coil correction': 'ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA',
    'phase stabilisation reference': 'ACQ_IS_PHASE_STABILIZATION_REFERENCE',
    'phase stabilisation': 'ACQ_IS_PHASE_STABILIZATION',
}


def test_flags_have_the_numbers_of_the_standard() -> None:
    """Counted from 1, so that flag n is bit n - 1, as the package sets it."""
    counters = ('encode_step1', 'encode_step2', 'average', 'slice', 'contrast', 'phase', 'repetition', 'set', 'segment')
    names = {
        f'{end} in {name.replace("_", " ").replace("step", "step ")}': f'ACQ_{end.upper()}_IN_{name.upper()}'
        for name in counters
        for end in ('first', 'last')
    }
    for own, theirs in (names | NAMES).items():
        acquisition = ismrmrd.AcquisitionHeader()
        acquisition.setFlag(getattr(ismrmrd, theirs))
        assert FLAGS[own] == getattr(ismrmrd, theirs), own
        assert bit(own) == acquisition.flags, own
    assert set(FLAGS) == set(names | NAMES)


def test_numbers_of_types_are_those_of_the_standard() -> None:
    assert IMAGE_TYPES == {'magnitude': 1, 'phase': 2, 'real': 3, 'imaginary': 4, 'complex': 5}
    assert [ismrmrd.IMTYPE_MAGNITUDE, ismrmrd.IMTYPE_COMPLEX] == [1, 5]
    names = ['USHORT', 'SHORT', 'UINT', 'INT', 'FLOAT', 'DOUBLE', 'CXFLOAT', 'CXDOUBLE']
    assert list(DATA_TYPES.values()) == [getattr(ismrmrd, f'DATATYPE_{name}') for name in names]


def test_headers_of_another_packing_keep_their_values() -> None:
    """Padded, in the other byte order, with a field that is not known and without most of those that are."""
    kind = np.dtype({'names': ['flags', 'own'], 'formats': ['>u8', 'i4'], 'offsets': [8, 20], 'itemsize': 32})
    mixed = np.zeros(3, np.dtype([('head', kind), ('idx', [('set', '>u2')])]))
    mixed['head']['flags'] = 1 << 40
    mixed['idx']['set'] = [1, 2, 3]
    assert headers(mixed['head'])['flags'].tolist() == [1 << 40] * 3
    result = headers(mixed)
    assert result.dtype == ACQUISITION
    assert result['idx']['set'].tolist() == [1, 2, 3]
    assert not result['idx']['slice'].any()


@pytest.mark.parametrize('kind', ['S8', 'c8', 'O'])
def test_headers_without_numbers_are_refused(kind: str) -> None:
    with pytest.raises(ScanError, match='the field number_of_samples of acquisitions must hold numbers'):
        headers(np.zeros(2, [('number_of_samples', kind)]))


def test_two_flags_of_one_acquisition_count_once() -> None:
    """A converter sets navigation and real-time feedback from the same bit."""
    head = np.zeros(2, ACQUISITION)
    head['flags'][1] = bit('navigation') | bit('real-time feedback')
    assert Acquisitions(head, HeldSamples([]), 'a').left_out == {'navigation': 1}
