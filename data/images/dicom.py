"""DICOM, one file for each image: derived secondary images, marked as research only and not for diagnosis.

With a place in space they are MR images, whose sequence is of the kind `RM` (research mode), and without one secondary
captures. Identifiers are made of what the images are, so that the same reconstruction has the same ones.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raki.data.images.gathered import Gathered, Waiting, require_sizes
from raki.data.place import Geometry
from raki.data.save import NewFiles

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset
    from pydicom.uid import UID

MM = 1000.0
LARGEST = (1 << 16) - 1
"""Value of a pixel, and number of pixels along an axis [1]."""
WINDOW = 0.999

RESEARCH_ONLY = 'research only, not for diagnosis'

NOT_KNOWN = ('PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyTime', 'StudyID')
NOT_KNOWN += ('AccessionNumber', 'ReferringPhysicianName')
"""What a file must have, if only empty."""

SUBJECT = {
    'patientName': 'PatientName',
    'patient_id': 'PatientID',
    'patientID': 'PatientID',
    'patientBirthdate': 'PatientBirthDate',
    'patientGender': 'PatientSex',
    'patientWeight_kg': 'PatientWeight',
    'patientHeight_m': 'PatientSize',
    'studyDate': 'StudyDate',
    'studyTime': 'StudyTime',
    'studyID': 'StudyID',
    'accessionNumber': 'AccessionNumber',
    'referringPhysicianName': 'ReferringPhysicianName',
}
"""From names of scans, for those who ask for identities to be kept."""


FORMS = {
    'PatientBirthDate': r'\d{8}',
    'StudyDate': r'\d{8}',
    'StudyTime': r'\d{6}(\.\d{1,6})?',
    'PatientSex': '[MFO]',
    'PatientWeight': r'\d{1,3}(\.\d{1,6})?',
    'PatientSize': r'\d(\.\d{1,6})?',
}
"""How texts must look, without dashes and colons."""


def write_dicom(path: Path, images: Gathered, new_file: NewFiles) -> None:
    """Write `NAME.dcm`, or of several images `NAME_slice003.dcm` and so on; g-factors as `NAME_gfactor.dcm`."""
    study = _uid('study', images, *(pixels for _, pixels in images.maps))
    for number, (kind, pixels) in enumerate(images.maps, start=1):
        series = _uid(f'series{kind}', images, pixels)
        peak = max(float(pixels[index].max()) for index in range(len(images)))
        for index in range(len(images)):
            target = path.with_name(f'{path.stem}{kind}{images.label(index)}{path.suffix}')
            found = _file(images, index, series)
            found.StudyInstanceUID, found.SeriesInstanceUID, found.SeriesNumber = study, series, number
            found.SeriesDescription = f'raki {images.manifest.get("method", "")}{kind.replace("_", " ")}'[:64]
            found.FrameOfReferenceUID = _uid('frame of reference', images, *(pixels for _, pixels in images.maps))
            _add_pixels(found, pixels[index], peak)
            found.save_as(content := BytesIO(), enforce_file_format=True)
            new_file(target).write_bytes(content.getvalue())
    new_file.describe(path.with_name(f'{path.name}.json'), images.made)


def _uid(kind: str, images: Gathered, *maps: Waiting) -> str:
    """Identifier of images by what they show, where they are, and how they were made."""
    digest = hashlib.sha256(kind.encode())
    made = {name: images.manifest.get(name) for name in ('method', 'settings', 'combine', 'source_file')}
    digest.update(f'{sorted(made.items())} {images.places}'.encode(errors='surrogateescape'))
    for pixels in maps:
        for index in range(len(images)):
            digest.update(pixels[index].tobytes())
    return _uid_of(digest.hexdigest())


def _uid_of(name: str) -> 'UID':
    """Identifier below 2.25, where those from UUIDs are."""
    from pydicom.uid import UID

    return UID(f'2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}')


def _file(images: Gathered, index: int, series: str) -> 'FileDataset':
    """Everything but pixels and series."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, SecondaryCaptureImageStorage

    geometry, manifest = images.geometry(index), images.manifest
    kind, meta = (SecondaryCaptureImageStorage if geometry is None else MRImageStorage), FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, kind
    meta.MediaStorageSOPInstanceUID = _uid_of(f'{series} {index}')
    meta.ImplementationClassUID = _uid_of('raki')
    found = FileDataset('', {}, file_meta=meta, preamble=b'\0' * 128)
    found.SOPClassUID, found.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    found.SpecificCharacterSet = 'ISO_IR 192'
    for name in NOT_KNOWN:
        setattr(found, name, '')
    found.Modality, found.Manufacturer, found.InstanceNumber = 'MR', 'raki', index + 1
    found.ImageType = ['DERIVED', 'SECONDARY', 'OTHER']
    found.ImageComments = RESEARCH_ONLY
    found.DerivationDescription = f'Reconstructed from k-space by raki {manifest.get("method", "")}: {RESEARCH_ONLY}'
    found.SoftwareVersions = str(manifest.get('versions', {}).get('raki', ''))[:64]
    found.BurnedInAnnotation = 'NO'
    _add_subject(found, manifest.get('subject') or {})
    _add_labels(found, images, index)
    if geometry is None:
        found.ConversionType = 'WSD'
        _add_spacing(found, images.pixel_size(index))
    else:
        _add_place(found, geometry, images.arrays['reconstruction'].shape)
    return found


def _add_subject(found: 'FileDataset', subject: Mapping[str, str]) -> None:
    """Who it is, where that is wanted; without it, that it was left out."""
    if not subject:
        found.PatientIdentityRemoved, found.DeidentificationMethod = 'YES', 'no identity was written'
    for name, keyword in SUBJECT.items():
        text = _allowed(keyword, str(subject.get(name, '')))
        if text:
            setattr(found, keyword, text)


def _allowed(keyword: str, text: str) -> str:
    """Text as DICOM allows it for a keyword; empty where it cannot be."""
    text = ''.join(each for each in text.strip() if each.isprintable() and each != '\\')
    if keyword in FORMS:
        plain = re.sub('[-:]', '', text)
        return plain if re.fullmatch(FORMS[keyword], plain) else ''
    return text[: 16 if keyword in ('StudyID', 'AccessionNumber') else 64]


def _add_labels(found: 'FileDataset', images: Gathered, index: int) -> None:
    place = images.places[index]
    found.AcquisitionNumber = place.frame.repetition + 1
    if place.frame.contrast:
        found.EchoNumbers = place.frame.contrast + 1
    if len({each.frame for each in images.places}) > 1:
        found.TemporalPositionIdentifier = sorted({each.frame for each in images.places}).index(place.frame) + 1
        found.NumberOfTemporalPositions = len({each.frame for each in images.places})


def _add_spacing(found: 'FileDataset', size: tuple[float, float] | None) -> None:
    if size is not None:
        found.PixelSpacing = [_decimal(MM * each) for each in size]


def _add_place(found: 'FileDataset', geometry: Geometry, shape: tuple[int, ...]) -> None:
    """Where the image is, and what an MR image must tell of its sequence."""
    thickness, height, width = geometry.voxel_size
    found.ImagePositionPatient = [_decimal(MM * each) for each in geometry.first_pixel((shape[0], shape[1]))]
    found.ImageOrientationPatient = [_decimal(each) for each in (*geometry.read_dir, *geometry.phase_dir)]
    found.PositionReferenceIndicator = ''
    found.SliceThickness = _decimal(MM * thickness)
    _add_spacing(found, (height, width))
    found.InPlanePhaseEncodingDirection = 'COL'
    found.ScanningSequence, found.SequenceVariant, found.ScanOptions = 'RM', 'NONE', ''
    for name in ('MRAcquisitionType', 'EchoTime', 'EchoTrainLength', 'RepetitionTime'):
        setattr(found, name, '')


def _add_pixels(found: 'FileDataset', image: np.ndarray, peak: float) -> None:
    """16 bit, with what scales them back; one scale for the whole series."""
    slope = _decimal(peak / LARGEST or 1.0)
    stored = np.clip(np.rint(image / float(slope)), 0, LARGEST).astype('<u2')
    require_sizes(stored.shape, LARGEST, 'DICOM')
    found.Rows, found.Columns = stored.shape
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, 'MONOCHROME2', 0
    found.BitsAllocated, found.BitsStored, found.HighBit = 16, 16, 15
    found.RescaleSlope, found.RescaleIntercept, found.RescaleType = slope, '0', 'US'
    values = np.sort(image, axis=None)
    white = float(values[round(WINDOW * (len(values) - 1))]) or 1.0
    found.WindowCenter, found.WindowWidth = _decimal(white / 2), _decimal(white)
    found.PixelData = stored.tobytes()


def _decimal(value: float) -> Any:
    """A number in the 16 characters that DICOM has for one."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value))
