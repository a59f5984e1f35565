"""No output tells who the patient is, unless somebody asks for it."""

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest

from raki.cli import main
from raki.data.images.outputs import WRITERS
from raki.data.raw.conversion import TARGETS
from tests.toys import attributes, random_kspace

SECRETS = {
    'patientName': 'Doe^Jane',
    'patientID': 'ID-4711',
    'patientBirthdate': '1970-12-24',
    'patientWeight_kg': '61.25',
    'institutionName': 'St. Elsewhere',
    'referringPhysicianName': 'Who^Dr',
    'studyDate': '2031-02-03',
    'seriesDescription': 'follow-up of JD',
}
PROTOCOL, ATTRIBUTE = 'head Jane 70', 'fastmri-0815'

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientName>{patientName}</patientName><patientWeight_kg>{patientWeight_kg}</patientWeight_kg>
<patientID>{patientID}</patientID><patientBirthdate>{patientBirthdate}</patientBirthdate></subjectInformation>
<studyInformation><studyDate>{studyDate}</studyDate>
<referringPhysicianName>{referringPhysicianName}</referringPhysicianName></studyInformation>
<measurementInformation><seriesDescription>{seriesDescription}</seriesDescription>
<protocolName>{protocol}</protocolName></measurementInformation>
<acquisitionSystemInformation><systemVendor>Acme</systemVendor><institutionName>{institutionName}</institutionName>
</acquisitionSystemInformation><encoding><encodedSpace><matrixSize><x>20</x><y>24</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>240</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>20</x><y>24</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>240</y><z>5</z></fieldOfView_mm></reconSpace></encoding></ismrmrdHeader>"""


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """In fastMRI layout, with a header and an attribute that tell everything."""
    path = tmp_path / 'scan.h5'
    with h5py.File(path, 'w') as file:
        file['kspace'] = random_kspace(2, 3, 20, 24).numpy()
        file['ismrmrd_header'] = HEADER.format(**SECRETS, protocol=PROTOCOL)
        file.attrs['patient_id'] = ATTRIBUTE
        file.attrs['notes'] = f'seen after {PROTOCOL}'
    return path


def contents(folder: Path) -> bytes:
    """All bytes of all files, unpacked, with their names."""
    found = b''
    for path in folder.rglob('*'):
        content = path.read_bytes()
        found += path.name.encode() + (gzip.decompress(content) if path.suffix == '.gz' else content)
    return found


def told(folder: Path) -> set[str]:
    """Which secrets the files of a folder tell; dates in the way of DICOM, too."""
    content, every = contents(folder), {**SECRETS, 'protocol': PROTOCOL, 'patient_id': ATTRIBUTE}
    return {name for name, text in every.items() for form in (text, text.replace('-', '')) if form.encode() in content}


@pytest.mark.parametrize('suffix', WRITERS)
def test_images_tell_nothing(scan: Path, tmp_path: Path, suffix: str) -> None:
    (tmp_path / 'out').mkdir()
    words = ['reconstruct', str(scan), '-o', str(tmp_path / 'out' / f'a{suffix}'), '--method', 'zero-filled']
    assert main([*words, '--gfactor', '--json']) == 0
    assert told(tmp_path / 'out') == set()
    assert main([*words, '--keep-phi']) == 0
    asked = told(tmp_path / 'out')
    if suffix in ('.nii', '.nii.gz', '.png', '.cfl'):
        assert asked == set()
    else:
        assert asked >= {'patientName', 'patientID', 'patientBirthdate', 'patientWeight_kg'}


@pytest.mark.parametrize('suffix', TARGETS)
def test_raw_data_tell_nothing(scan: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'out').mkdir()
    assert main(['convert', str(scan), str(tmp_path / 'out' / f'a{suffix}')]) == 0
    assert told(tmp_path / 'out') == set()
    said = capsys.readouterr().out
    assert 'who the patient is (institutionName, ' in said
    assert not any(text in said for text in (*SECRETS.values(), PROTOCOL, ATTRIBUTE))


def test_pages_tell_no_more_than_the_protocol(scan: Path, tmp_path: Path) -> None:
    """Comparisons say which protocol and which notes they are about."""
    (tmp_path / 'out').mkdir()
    words = ['compare', str(scan), '-o', str(tmp_path / 'out'), '--rates', '2', '--acs', '12', '--methods', 'grappa']
    assert main([*words, '--replicas', '0']) == 0
    assert main(['reconstruct', str(scan), '-o', str(tmp_path / 'out' / 'a.h5'), '--method', 'zero-filled']) == 0
    assert main(['view', str(tmp_path / 'out' / 'a.h5'), '--no-open']) == 0
    assert told(tmp_path / 'out') <= {'protocol'}


def test_who_asks_gets_identities_where_they_belong(scan: Path, tmp_path: Path) -> None:
    for suffix in ('.h5', '.dcm'):
        words = ['reconstruct', str(scan), '-o', str(tmp_path / f'a{suffix}'), '--method', 'zero-filled']
        assert main([*words, '--slice', '0', '--keep-phi']) == 0
    assert json.loads(attributes(tmp_path / 'a.h5')['subject']) == {**SECRETS, 'patient_id': ATTRIBUTE}
    file = pydicom.dcmread(tmp_path / 'a.dcm')
    assert (file.PatientName, file.PatientID, file.PatientBirthDate) == ('Doe^Jane', 'ID-4711', '19701224')
    assert (file.StudyDate, file.ReferringPhysicianName) == ('20310203', 'Who^Dr')
    assert float(file.PatientWeight) == 61.25
    assert 'PatientIdentityRemoved' not in file


@pytest.mark.filterwarnings('error')
def test_identities_that_dicom_does_not_allow_are_left_out(scan: Path, tmp_path: Path) -> None:
    with h5py.File(scan, 'a') as file:
        del file['ismrmrd_header']
        wrong = {**SECRETS, 'patientBirthdate': 'in May', 'patientWeight_kg': 'a lot', 'patientName': 'x' * 99 + '\\y'}
        file['ismrmrd_header'] = HEADER.format(**wrong, protocol=PROTOCOL)
    words = ['reconstruct', str(scan), '-o', str(tmp_path / 'a.dcm'), '--method', 'zero-filled']
    assert main([*words, '--slice', '0', '--keep-phi']) == 0
    file = pydicom.dcmread(tmp_path / 'a.dcm')
    assert (file.PatientBirthDate, file.PatientName) == ('', 'x' * 64)
    assert 'PatientWeight' not in file
    assert np.isfinite(file.pixel_array).all()
