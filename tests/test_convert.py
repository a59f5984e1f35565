"""Raw data between formats: the same bits of k-space and the same mask, and a word on everything that is lost."""

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
import torch
from torch import Tensor

from raki.cli import main
from raki.data.load import open_scan
from raki.data.place import Frame, Geometry
from raki.data.raw.conversion import TARGETS, convert
from raki.data.scan import Scan, ScanFile
from raki.errors import ScanError
from tests.toys import attributes, random_kspace, stored

SUFFIXES = ('.h5', '.mrd.h5', '.cfl')
N_COILS, N_LINES, N_SAMPLES = 3, 14, 10

READ, PHASE, SLICE = (0.6, 0.8, 0.0), (-0.64, 0.48, 0.6), (0.48, -0.36, 0.8)

PATIENT = {
    'patientName': 'Doe^Jane',
    'patientID': 'ID-4711',
    'patientBirthdate': '1970-12-24',
    'institutionName': 'St. Elsewhere',
}


@dataclass(frozen=True)
class Held:
    """A scan in memory."""

    masks: Tensor
    """Axes (frame, *phase axes)."""
    n_slabs: int = 1
    n_acs: int = 0
    n_noise: int = 0

    def file(self, **others: Any) -> ScanFile:
        """As it would be read from a file."""
        frames = [Frame(repetition=number) for number in range(len(self.masks))]
        shape = (self.n_slabs, N_COILS, *self.masks.shape[1:], N_SAMPLES)
        known: dict[str, Any] = {'frames': frames, 'image_shape': shape[2:]} | others
        return ScanFile('toy', 'toy', shape, self.slab, **known)

    def slab(self, slab: int, frame: int) -> Scan:
        """One slab of a frame."""
        mask, seed = self.masks[frame], 100 * frame + slab
        acs_shape = (*(size // 2 for size in mask.shape[:-1]), self.n_acs, N_SAMPLES - 2)
        return Scan(
            kspace=torch.where(mask[..., None], random_kspace(1, N_COILS, *mask.shape, N_SAMPLES, seed=seed), 0),
            mask=mask,
            calibration=random_kspace(1, N_COILS, *acs_shape, seed=seed + 50) if self.n_acs else None,
            noise=random_kspace(N_COILS, self.n_noise, seed=7) if self.n_noise else None,
            voxel_size=(0.003, 0.002, 0.001)[-mask.ndim - 1 :],
        )


def every_second(first: int = 0, acs: tuple[int, int] = (5, 10), start: int = 0) -> Tensor:
    mask = torch.zeros(N_LINES, dtype=torch.bool)
    mask[first::2] = True
    mask[slice(*acs)] = True
    mask[:start] = False
    return mask


def volume_mask() -> Tensor:
    mask = torch.zeros(8, N_LINES, dtype=torch.bool)
    mask[::2, ::2] = True
    mask[2:6, 4:9] = True
    return mask


SCANS = {
    'full slices': Held(torch.ones(1, N_LINES, dtype=torch.bool), n_slabs=3),
    'accelerated, noise': Held(every_second()[None], n_slabs=2, n_noise=1500),
    'partial Fourier': Held(every_second(start=4)[None], n_slabs=2),
    'uneven': Held(torch.isin(torch.arange(N_LINES), torch.tensor([0, 2, 5, 6, 7, 8, 10, 13]))[None]),
    'separate calibration': Held(every_second(1, (0, 0))[None], n_slabs=2, n_acs=6),
    'frames': Held(torch.stack([every_second(), every_second(1)]), n_slabs=2, n_noise=20),
    'frames with separate calibration': Held(torch.stack([every_second(0, (0, 0))] * 2), n_slabs=2, n_acs=4),
    'irregular': Held(torch.isin(torch.arange(N_LINES), torch.tensor([0, 1, 4, 6, 7, 8, 11, 13]))[None]),
    'volume': Held(volume_mask()[None], n_noise=30),
}


def opened(path: Path) -> list[ScanFile]:
    """What a conversion wrote: one file, or one for each frame."""
    paths = [path] if path.exists() else sorted(path.parent.glob(f'{path.stem}_repetition*.h5'))
    return [open_scan(each) for each in paths]


def slabs(files: list[ScanFile]) -> list[Scan]:
    return [
        file.read([slab], frame) for file in files for frame in range(file.n_frames) for slab in range(file.shape[0])
    ]


def same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))


@pytest.mark.parametrize(('first', 'second'), list(itertools.product(SUFFIXES, SUFFIXES)))
@pytest.mark.parametrize('name', SCANS)
def test_every_pair_of_formats_gives_the_same_bits(tmp_path: Path, name: str, first: str, second: str) -> None:
    """From memory to one, from there to the other: k-space, mask, noise and separate calibration."""
    held = SCANS[name]
    expected = slabs([held.file()])
    convert(held.file(), tmp_path / f'a{first}')
    found = opened(tmp_path / f'a{first}')
    for number, file in enumerate(found):
        convert(file, tmp_path / f'{number}{second}')
    again = [file for number in range(len(found)) for file in opened(tmp_path / f'{number}{second}')]
    for scans in (slabs(found), slabs(again)):
        assert len(scans) == len(expected)
        for each, wanted in zip(scans, expected, strict=True):
            for part in ('kspace', 'mask', 'noise', 'calibration'):
                assert same(getattr(each, part), getattr(wanted, part)), part


@pytest.mark.parametrize('suffix', ['.mrd.h5', '.h5'])
def test_sizes_travel(tmp_path: Path, suffix: str) -> None:
    convert(SCANS['partial Fourier'].file(image_shape=(12, N_SAMPLES)), tmp_path / f'a{suffix}')
    file = open_scan(tmp_path / f'a{suffix}')
    assert file.image_shape == (12, N_SAMPLES)
    assert file.read([0]).voxel_size == pytest.approx((0.002, 0.001))


LABELLED = [
    Frame(contrast=echo, repetition=time, phase=phase, set=number)
    for time, echo, phase, number in np.ndindex(2, 3, 2, 2)
]


@pytest.mark.parametrize('suffix', ['.mrd.h5', '.cfl'])
def test_labels_travel(tmp_path: Path, suffix: str) -> None:
    held = Held(torch.stack([every_second()] * len(LABELLED)), n_slabs=2)
    convert(held.file(frames=LABELLED), tmp_path / f'a{suffix}')
    file = open_scan(tmp_path / f'a{suffix}')
    assert sorted(file.frames) == sorted(LABELLED)
    for number, frame in enumerate(file.frames):
        assert torch.equal(file.read([1], number).kspace, held.slab(1, LABELLED.index(frame)).kspace)


def geometries(n_slabs: int) -> list[Geometry]:
    places = [(0.01 + 0.005 * n * SLICE[0], 0.02 + 0.005 * n * SLICE[1], 0.005 * n * SLICE[2]) for n in range(n_slabs)]
    return [Geometry(place, READ, PHASE, SLICE, (0.004, 0.002, 0.001)) for place in places]


@pytest.mark.parametrize('vendor', ['SIEMENS', 'GE'])
@pytest.mark.parametrize('name', ['partial Fourier', 'volume'])
def test_places_travel_through_mrd(tmp_path: Path, name: str, vendor: str) -> None:
    """Of Siemens, too, whose headers count k the other way round."""
    held = SCANS[name]
    places = geometries(held.n_slabs)
    convert(held.file(geometries=places, facts={'vendor': vendor}), tmp_path / 'a.mrd.h5')
    convert(open_scan(tmp_path / 'a.mrd.h5'), tmp_path / 'b.mrd.h5')
    for found, wanted in zip(open_scan(tmp_path / 'b.mrd.h5').geometries, places, strict=True):
        for part in ('position', 'read_dir', 'phase_dir', 'slice_dir'):
            assert getattr(found, part) == pytest.approx(getattr(wanted, part), abs=1e-6), part
        assert found.voxel_size[1:] == pytest.approx(wanted.voxel_size[1:])


def test_an_mrd_file_is_what_the_standards_package_expects(tmp_path: Path) -> None:
    """Header, flags, counters, geometry and samples, read by it."""
    held = SCANS['accelerated, noise']
    convert(held.file(geometries=geometries(2)), tmp_path / 'a.mrd.h5')
    dataset = ismrmrd.Dataset(str(tmp_path / 'a.mrd.h5'), create_if_needed=False)
    header: Any = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    [encoding] = header.encoding
    assert (encoding.encodedSpace.matrixSize.y, encoding.encodingLimits.kspace_encoding_step_1.center) == (14, 7)
    assert encoding.encodedSpace.fieldOfView_mm.y == pytest.approx(28)
    assert encoding.parallelImaging.accelerationFactor.kspace_encoding_step_1 == 2
    assert encoding.parallelImaging.calibrationMode.value == 'embedded'
    lines: list[Any] = [dataset.read_acquisition(number) for number in range(dataset.number_of_acquisitions() or 0)]
    noise = [line for line in lines if line.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    np.testing.assert_array_equal(np.concatenate([line.data for line in noise], axis=1), held.slab(0, 0).noise)
    image = [line for line in lines if line not in noise]
    assert len(image) == 2 * int(held.masks.sum())
    for line in image:
        ky, number = line.idx.kspace_encode_step_1, line.idx.slice
        np.testing.assert_array_equal(line.data, held.slab(number, 0).kspace[0, :, ky])
        assert line.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) == (ky in (5, 7, 9))
        assert line.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING) == (ky in (4, 6, 8, 10))
        np.testing.assert_allclose(list(line.position), 1000 * np.array(geometries(2)[number].position), rtol=1e-6)
        np.testing.assert_allclose(list(line.phase_dir), PHASE, rtol=1e-6)
    assert [line.idx.kspace_encode_step_1 for line in image if line.isFlagSet(ismrmrd.ACQ_LAST_IN_SLICE)] == [12, 12]
    dataset.close()


def test_what_a_format_cannot_hold_is_named(tmp_path: Path) -> None:
    held, facts = SCANS['frames'], {'vendor': 'Acme', 'protocol': 'head of Jane Doe'}
    file = held.file(
        geometries=geometries(2), frames=[Frame(1), Frame(4)], image_shape=(12, 10), identity=PATIENT, facts=facts
    )
    who = 'who the patient is (institutionName, patientBirthdate, patientID, patientName): --keep-phi keeps it'
    lost = {suffix: convert(file, tmp_path / f'a{suffix}') for suffix in SUFFIXES}
    assert lost['.mrd.h5'] == ['free text of the header (protocol)', who]
    assert lost['.h5'] == [
        'labels in one file: 2 files, a frame each',
        'position and orientation',
        'free text of the header (protocol)',
        who,
    ]
    assert lost['.cfl'] == [
        'position and orientation',
        'the size of a voxel',
        'the matrix of the image',
        'the counters of repetition, which start at 0 there',
        'vendor, system and field strength',
        'free text of the header (protocol)',
        who,
    ]


def test_what_a_volume_in_hdf5_cannot_hold_is_named(tmp_path: Path) -> None:
    held = Held(volume_mask()[None], n_acs=4)
    file = held.file(identity={**PATIENT, 'patient_id': 'abc'}, image_shape=(6, 14, 10), facts={'vendor': 'Acme'})
    assert convert(file, tmp_path / 'a.h5', keep_phi=True) == [
        'the separate calibration',
        'the size of a voxel',
        'vendor, system and field strength',
        'who the patient is, but for patient_id',
        'the matrix of the image',
        'who the patient is (institutionName)',
    ]
    assert attributes(tmp_path / 'a.h5')['patient_id'] == 'abc'


def test_headers_of_acquisitions_are_named(tmp_path: Path) -> None:
    convert(SCANS['full slices'].file(), tmp_path / 'a.mrd.h5')
    lost = convert(open_scan(tmp_path / 'a.mrd.h5'), tmp_path / 'a.h5')
    assert lost == ['time stamps, dwell times and user fields of acquisitions']


def test_what_cannot_be_found_again_is_refused(tmp_path: Path) -> None:
    held = Held(torch.stack([every_second(), every_second(1)]), n_slabs=2)
    uneven = replace(held.file(), frames=[Frame()], read_slab=lambda slab, _frame: held.slab(slab, slab))
    with pytest.raises(ScanError, match='slice 1 has other lines than slice 0, but one mask: choose'):
        convert(uneven, tmp_path / 'a.h5')
    with pytest.raises(ScanError, match='one file holds one volume, got 2'):
        convert(Held(volume_mask()[None], n_slabs=2).file(), tmp_path / 'a.h5')
    holes = Held(torch.stack([every_second()] * 3)).file(frames=[Frame(0, 0), Frame(0, 1), Frame(1, 0)])
    with pytest.raises(ScanError, match='3 images do not fill a grid of 2 contrasts, 2 repetitions'):
        convert(holes, tmp_path / 'a.cfl')
    assert list(tmp_path.iterdir()) == []
    convert(uneven, tmp_path / 'a.mrd.h5')
    found = open_scan(tmp_path / 'a.mrd.h5')
    assert [torch.equal(found.read([slab]).mask, held.masks[slab]) for slab in (0, 1)] == [True, True]


def test_no_frame_replaces_the_scan_itself(tmp_path: Path) -> None:
    path = tmp_path / 'a_repetition001.h5'
    path.write_bytes(b'scan')
    file = replace(Held(torch.ones(2, N_LINES, dtype=torch.bool)).file(), path=str(path))
    with pytest.raises(
        ScanError, match=r'a_repetition001.h5: frame 1 would replace the scan itself: choose another name'
    ):
        convert(file, tmp_path / 'a.h5')
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b'scan']


@pytest.mark.parametrize('suffix', TARGETS)
def test_identities_are_left_out_unless_asked_for(tmp_path: Path, suffix: str) -> None:
    file = SCANS['accelerated, noise'].file(identity=PATIENT, facts={'protocol': 'head of Doe^Jane'})
    for folder, keep_phi in (('without', False), ('with', True)):
        (tmp_path / folder).mkdir()
        convert(file, tmp_path / folder / f'a{suffix}', keep_phi=keep_phi)
        content = b''.join(path.read_bytes() for path in (tmp_path / folder).iterdir())
        there = {name for name, text in PATIENT.items() if text.encode() in content}
        assert there == (set(PATIENT) - {'institutionName'} if keep_phi and suffix != '.cfl' else set())


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'a.h5'
    convert(SCANS['accelerated, noise'].file(identity={'patient_id': 'abc'}), path, keep_phi=True)
    assert attributes(path)['patient_id'] == 'abc'
    with h5py.File(path, 'a') as file:
        file['reference'] = stored(path, 'kspace')
    assert main(['convert', str(path), str(tmp_path / 'a.mrd.h5')]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f'{tmp_path / "a.mrd.h5"}: 1 frame(s) of 2x3x14x10 (slice, coil, ky, kx)',
        'left out: the fully sampled reference',
        'left out: who the patient is (patientID, patient_id): --keep-phi keeps it',
    ]
    assert main(['convert', str(path), str(tmp_path / 'a.cfl'), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['source_format'] == 'fastMRI-layout HDF5'


@pytest.mark.parametrize(
    ('output', 'message'),
    [
        ('b.nii', 'no raw data have this suffix: choose from .mrd.h5, .h5'),
        ('b', 'no raw data have this suffix'),
        ('a.cfl', 'is the input'),
        ('nowhere/b.h5', 'there is no folder'),
    ],
)
def test_wrong_outputs_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, message: str
) -> None:
    convert(SCANS['full slices'].file(), tmp_path / 'a.cfl')
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(['convert', str(tmp_path / 'a.hdr'), str(tmp_path / output)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count('\n') == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize('name', ['ismrmrd_phantom8_R3_acs24.h5', 'xingkong_R2_16.h5', 'twix_gre2.h5'])
@pytest.mark.parametrize('suffix', SUFFIXES)
def test_real_scans_come_back(shared_scan: Any, tmp_path: Path, name: str, suffix: str) -> None:
    source = open_scan(shared_scan(name))
    convert(source, tmp_path / f'a{suffix}')
    for each, wanted in zip(slabs(opened(tmp_path / f'a{suffix}')), slabs([source]), strict=True):
        for part in ('kspace', 'mask', 'noise', 'calibration'):
            assert same(getattr(each, part), getattr(wanted, part)), part
