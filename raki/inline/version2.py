"""MRD version 2 through pipes: its items become lines of version 1, and images go back as its items.

The package mrd-python reads and writes these streams, in blocks of 64 KiB: the image of a slice may wait for
the first lines after it.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from importlib.metadata import version
from io import BufferedReader
from typing import Any, BinaryIO, TypeVar
from xml.etree import ElementTree

import mrd
import numpy as np

from raki.data.mrd.layout import ACQUISITION
from raki.errors import StreamError
from raki.inline.images import MadeImage
from raki.inline.messages import Limits, Line, Message, MessageId, Words
from raki.inline.session import Service

SHORT, COUNTERS = 'discard_pre discard_post center_sample encoding_space_ref', ACQUISITION['idx'].names or ()
NUMBERS = ('measurement_uid', 'scan_counter', 'acquisition_time_stamp', 'sample_time_us', *SHORT.split())
VECTORS = ('position', 'read_dir', 'phase_dir', 'slice_dir', 'patient_table_position')
LISTS = ('physiology_time_stamp', 'user_int', 'user_float')
TO_VERSION_2 = {'read_dir': 'col_dir', 'phase_dir': 'line_dir'}
"""Fields of headers that both versions have, by the names of version 1."""

DAMAGED = (EOFError, ValueError, LookupError, TypeError, OverflowError, BufferError, RuntimeError, struct.error)
"""What mrd-python is known to raise of streams that are cut off, damaged, or of another version."""

Item = TypeVar('Item')

LABELS = ('average', 'slice', 'contrast', 'phase', 'repetition', 'set', 'acquisition_time_stamp')
SIZES = {'matrixSize': 'matrix_size', 'fieldOfView_mm': 'field_of_view_mm'}
LIMITS = {
    'kspace_encoding_step_1': 'kspace_encoding_step_1',
    'kspace_encoding_step_2': 'kspace_encoding_step_2',
    'average': 'average',
}


def serve_version_2(service: Service, source: BufferedReader, target: BinaryIO) -> int:
    """Answer one stream on another, as `Service.serve` does with messages, and return the number of images written.

    The header goes on without what tells who the patient is. A StreamError if the stream is damaged.
    """
    n_images = 0
    with _opened(source) as reader, mrd.BinaryMrdWriter(target) as writer:
        header = _header(reader)
        writer.write_header(without_identity(header))

        def send(image: MadeImage) -> None:
            nonlocal n_images
            writer.write_data([_item(image)])
            writer._stream.flush()  # there is no public way, and who reads waits for this image
            n_images += 1

        service.converse(_messages(header, _whole(reader.read_data()), service.limits), send)
        if not n_images:
            writer.write_data([])
    return n_images


def _opened(source: BufferedReader) -> mrd.BinaryMrdReader:
    try:
        return mrd.BinaryMrdReader(source)
    except DAMAGED as error:
        raise StreamError(
            f'no stream of MRD version 2 that mrd-python {version("mrd-python")} reads: {error}'
        ) from error


def _header(reader: mrd.BinaryMrdReader) -> mrd.Header:
    header = next(_whole(reader.read_header() for _ in range(1)))
    if header is None:
        raise StreamError('a stream of MRD version 2 needs a header to be reconstructed')
    return header


def _whole(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; a StreamError where the package finds something else than it expects."""
    try:
        yield from items
    except DAMAGED as error:
        raise StreamError(f'the stream of MRD version 2 is cut off or damaged ({error})') from error


def without_identity(header: mrd.Header) -> mrd.Header:
    """A header without what may tell who the patient is, and when and where the scan was done."""
    kept = copy(header)
    kept.subject_information = kept.study_information = None
    if kept.measurement_information is not None:
        position = kept.measurement_information.patient_position
        kept.measurement_information = mrd.MeasurementInformationType(patient_position=position)
    if kept.acquisition_system_information is not None:
        kept.acquisition_system_information = system = copy(kept.acquisition_system_information)
        system.institution_name = system.station_name = system.device_id = system.device_serial_number = None
    return kept


def _messages(header: mrd.Header, items: Iterable[mrd.StreamItem], limits: Limits) -> Iterator[Message]:
    """Give the header and the acquisitions as messages of version 1; waveforms are passed over."""
    yield Words(MessageId.HEADER, header_xml(header))
    for item in items:
        if isinstance(item, mrd.StreamItem.Acquisition):
            yield _line(item.value, limits)
        elif not isinstance(item, mrd.StreamItem.WaveformUint32):
            raise StreamError(f'{type(item).__name__} came: raw lines (Acquisition) are wanted')


def _line(acquisition: mrd.Acquisition, limits: Limits) -> Line:
    given, head = acquisition.head, np.zeros(1, ACQUISITION)
    n_coils, n_samples = acquisition.data.shape
    if n_coils > limits.coils or acquisition.data.nbytes > limits.line_bytes or not acquisition.data.size:
        raise StreamError(f'an acquisition needs 1 to {limits.coils} coils and samples, got {n_coils} x {n_samples}')
    values = {name: getattr(given, name) for name in (*NUMBERS, *VECTORS)}
    values |= {'version': 1, 'flags': int(given.flags), 'number_of_samples': n_samples}
    values |= {'active_channels': n_coils, 'available_channels': n_coils}
    for name, value in values.items():
        head[name] = 0 if value is None else value
    if given.center_sample is None:
        head['center_sample'] = n_samples // 2
    for name in LISTS:
        _put(head[name][0], getattr(given, name))
    for name in COUNTERS:
        value = getattr(given.idx, name)
        if name == 'user':
            _put(head['idx'][name][0], value)
        else:
            head['idx'][name] = value or 0
    return Line(head[0], np.ascontiguousarray(acquisition.data, np.complex64))


def _put(target: np.ndarray, values: Sequence[float]) -> None:
    n_values = min(len(target), len(values))
    target[:n_values] = values[:n_values]


def header_xml(header: mrd.Header) -> str:
    """What `raki.data.mrd.header` reads of a header, as the XML of version 1."""
    root = ElementTree.Element('ismrmrdHeader')
    system = header.acquisition_system_information
    if system is not None:
        parent = ElementTree.SubElement(root, 'acquisitionSystemInformation')
        _add(parent, 'systemVendor', system.system_vendor)
        _add(parent, 'systemModel', system.system_model)
        _add(parent, 'systemFieldStrength_T', system.system_field_strength_t)
        _add(parent, 'relativeReceiverNoiseBandwidth', system.relative_receiver_noise_bandwidth)
        for label in system.coil_label:
            coil = ElementTree.SubElement(parent, 'coilLabel')
            _add(coil, 'coilNumber', label.coil_number)
            _add(coil, 'coilName', label.coil_name)
    for encoding in header.encoding:
        _add_encoding(ElementTree.SubElement(root, 'encoding'), encoding)
    return ElementTree.tostring(root, encoding='unicode')


def _add_encoding(parent: ElementTree.Element, encoding: mrd.EncodingType) -> None:
    _add(parent, 'trajectory', encoding.trajectory.name.lower())
    for name, space in (('encodedSpace', encoding.encoded_space), ('reconSpace', encoding.recon_space)):
        element = ElementTree.SubElement(parent, name)
        for size, attribute in SIZES.items():
            _add_all(element, size, getattr(space, attribute), ('x', 'y', 'z'))
    limits = ElementTree.SubElement(parent, 'encodingLimits')
    for name, attribute in LIMITS.items():
        _add_all(limits, name, getattr(encoding.encoding_limits, attribute), ('minimum', 'maximum', 'center'))
    parallel = encoding.parallel_imaging
    if parallel is None:
        return
    element = ElementTree.SubElement(parent, 'parallelImaging')
    factor, steps = parallel.acceleration_factor, ElementTree.SubElement(element, 'accelerationFactor')
    for step in ('kspace_encoding_step_1', 'kspace_encoding_step_2'):
        _add(steps, step, getattr(factor, step))
    for name, value in (
        ('calibrationMode', parallel.calibration_mode),
        ('interleavingDimension', parallel.interleaving_dimension),
    ):
        _add(element, name, None if value is None else value.name.lower())
    if parallel.multiband is not None:
        ElementTree.SubElement(element, 'multiband')


def _add_all(parent: ElementTree.Element, name: str, values: Any, parts: Sequence[str]) -> None:
    if values is not None:
        element = ElementTree.SubElement(parent, name)
        for part in parts:
            _add(element, part, getattr(values, part))


def _add(parent: ElementTree.Element, name: str, value: object) -> None:
    if value is not None:
        ElementTree.SubElement(parent, name).text = str(value)


def _item(image: MadeImage) -> mrd.StreamItem:
    """One image as an item of version 2."""
    given, values = image.header, image.values
    values = values.reshape((1,) * (4 - values.ndim) + values.shape)
    known: dict[str, Any] = {TO_VERSION_2.get(name, name): given[name].copy() for name in (*VECTORS, 'field_of_view')}
    known |= {name: int(given[name]) for name in (*LABELS, 'measurement_uid', 'image_index', 'image_series_index')}
    known |= {name: given[name].tolist() for name in LISTS}
    head = mrd.ImageHeader(image_type=mrd.ImageType(int(given['image_type'])), **known)
    meta = {name: [_meta(each) for each in _listed(value)] for name, value in image.attributes.items()}
    if values.dtype == np.uint16:
        return mrd.StreamItem.ImageUint16(mrd.Image[np.uint16](head=head, data=values, meta=meta))
    if values.dtype == np.complex64:
        return mrd.StreamItem.ImageComplexFloat(mrd.Image[np.complex64](head=head, data=values, meta=meta))
    return mrd.StreamItem.ImageFloat(mrd.Image[np.float32](head=head, data=values, meta=meta))


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _meta(value: object) -> mrd.ImageMetaValue:
    if isinstance(value, int):
        return mrd.ImageMetaValue.Int64(value)
    return mrd.ImageMetaValue.Float64(value) if isinstance(value, float) else mrd.ImageMetaValue.String(str(value))
