"""Clients of `raki serve` made of the standard's own package, and series for them to send."""

import io
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Self, cast

import ismrmrd
import numpy as np
import torch
from ismrmrd.serialization import ConfigFile, ProtocolDeserializer, ProtocolSerializer
from torch import Tensor

from raki.commands.catalogue import method_named
from raki.commands.serve import Inline
from raki.data.load import open_scan
from raki.inline.server import Listening, Server
from raki.inline.session import Service
from raki.pipeline import COMBINATIONS, reconstruct
from tests.toys import point_sources, random_kspace

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions><encoding>
<encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>
<fieldOfView_mm><x>320</x><y>180</y><z>{depth}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{half}</x><y>{y}</y><z>{z}</z></matrixSize>
<fieldOfView_mm><x>160</x><y>180</y><z>{depth}</z></fieldOfView_mm></reconSpace>
<encodingLimits>{limits}</encodingLimits><trajectory>cartesian</trajectory>
<parallelImaging><accelerationFactor><kspace_encoding_step_1>{rate}</kspace_encoding_step_1>
<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>
<calibrationMode>{mode}</calibrationMode></parallelImaging></encoding></ismrmrdHeader>"""
AVERAGES = '<average><minimum>0</minimum><maximum>{}</maximum><center>0</center></average>'

READ, PHASE = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, 1.0])
NORMAL = np.cross(READ, PHASE)


@dataclass(frozen=True)
class Series:
    """What a scanner sends: slices one after the other, repetition by repetition, with twice the readout samples."""

    n_coils: int = 4
    n_lines: int = 36
    n_samples: int = 32
    n_slices: int = 2
    n_repetitions: int = 1
    n_averages: int = 1
    acceleration: int = 2
    n_acs: int = 14
    mode: str = 'embedded'
    seed: int = 0
    n_noise: int = 0

    @property
    def xml(self) -> str:
        sizes = {'x': self.n_samples, 'half': self.n_samples // 2, 'y': self.n_lines, 'z': 1, 'depth': 5}
        limits = AVERAGES.format(self.n_averages - 1) * (self.n_averages > 1)
        return HEADER.format(**sizes, limits=limits, rate=self.acceleration, mode=self.mode)

    def kspace(self, slice_: int, repetition: int, average: int = 0) -> Tensor:
        """Fully sampled, axes (coil, ky, kx); the noise of each is its own."""
        shape, seed = (self.n_coils, self.n_lines, self.n_samples), 1000 * self.seed + 10 * slice_
        noise = random_kspace(*shape, seed=seed + 100 * repetition + 31 * average + 1)
        return point_sources(24, *shape, seed=seed) + 0.05 * noise

    @property
    def acs(self) -> range:
        first = (self.n_lines - self.n_acs) // 2
        return range(first, first + self.n_acs)

    def noise(self) -> list[Any]:
        shape = self.n_coils, self.n_samples
        lines = [made(random_kspace(*shape, seed=900 + n).numpy()) for n in range(self.n_noise)]
        for line in lines:
            line.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        return lines

    def lines(self, slice_: int, repetition: int = 0, *, is_marked: bool = True) -> list[Any]:
        """Lines of one slice of one repetition, the last of them marked as such."""
        result = []
        for average in range(self.n_averages):
            kspace = self.kspace(slice_, repetition, average).numpy()
            every = [ky for ky in range(self.n_lines) if ky % self.acceleration == 0 or ky in self.acs]
            for ky in every:
                labels = {'slice': slice_, 'repetition': repetition, 'average': average, 'kspace_encode_step_1': ky}
                line = made(np.ascontiguousarray(kspace[:, ky]), **labels)
                if ky in self.acs:
                    is_image = ky % self.acceleration == 0
                    line.set_flag(20 + is_image)
                if ky == every[-1] and is_marked:
                    line.set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
                result.append(line)
        return result

    def every(self, *, is_marked: bool = True) -> list[Any]:
        places = [(slice_, repetition) for repetition in range(self.n_repetitions) for slice_ in range(self.n_slices)]
        return [*self.noise(), *(line for place in places for line in self.lines(*place, is_marked=is_marked))]

    def write(self, path: Path) -> Path:
        """The same lines in a file."""
        return written(path, self.xml, self.every())


def made(samples: np.ndarray, slice: int = 0, **labels: int) -> Any:  # noqa: A002
    """One acquisition in an oblique place of its own."""
    line: Any = ismrmrd.Acquisition.from_array(samples)
    line.center_sample, line.sample_time_us, line.idx.slice = samples.shape[1] // 2, 5.0, slice
    for name, value in labels.items():
        setattr(line.idx, name, value)
    vectors = {'read_dir': READ, 'phase_dir': PHASE, 'slice_dir': NORMAL, 'position': 7.0 * slice * NORMAL}
    for name, vector in vectors.items():
        getattr(line, name)[:] = vector.tolist()
    line.acquisition_time_stamp = 1000 + slice
    return line


def written(path: Path, xml: str, lines: Sequence[Any]) -> Path:
    dataset = ismrmrd.Dataset(str(path), 'dataset')
    dataset.write_xml_header(xml.encode())
    for line in lines:
        dataset.append_acquisition(line)
    dataset.close()
    return path


def stored_lines(path: Path) -> tuple[str, list[Any]]:
    """Header and acquisitions of a file; of a copy of it, for the package opens files for writing."""
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copyfile(path, Path(folder) / path.name))
        dataset: Any = ismrmrd.Dataset(str(copy), 'dataset', create_if_needed=False)
        try:
            lines = [dataset.read_acquisition(index) for index in range(dataset.number_of_acquisitions())]
            return dataset.read_xml_header().decode(), lines
        finally:
            dataset.close()


def stream_of(xml: str, lines: Sequence[Any], config: str = '') -> bytes:
    """All bytes that a client sends, as the standard's own package writes them."""
    target = io.BytesIO()
    with ProtocolSerializer(target) as serializer:
        if config:
            serializer.serialize(ConfigFile(config))
        target.write(header_message(xml))
        for line in lines:
            serializer.serialize(line)
    return target.getvalue()


def header_message(xml: str) -> bytes:
    data = xml.encode()
    return b'\3\0' + len(data).to_bytes(4, 'little') + data


def offline(path: Path, method: str, combine: str = 'rss') -> dict[tuple[int, int], np.ndarray]:
    """What the command line makes of a file, by slice and repetition: axes (z, y, x)."""
    file = open_scan(path)
    results = {}
    for number, frame in enumerate(file.frames):
        for index in range(file.shape[0]):
            scan = file.read([index], number)
            device = torch.device('cpu')
            image = reconstruct(scan, method_named(method), device=device, combine=COMBINATIONS[combine]).image
            results[index, frame.repetition] = image.numpy()
    return results


class Client:
    """One connection to a server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.file = cast(BinaryIO, self.socket.makefile('rwb'))
        self._serializer = ProtocolSerializer(self.file)
        self._answers: Any = ProtocolDeserializer(self.file).deserialize()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._answers.close()
        self.file.close()
        self.socket.close()

    def begin(self, xml: str, *configs: Any) -> None:
        for config in configs:
            self._serializer.serialize(config)
        self.file.write(header_message(xml))
        self.file.flush()

    def send(self, *objects: Any) -> None:
        for each in objects:
            self._serializer.serialize(each)
        self.file.flush()

    def raw(self, data: bytes) -> None:
        self.file.write(data)
        self.file.flush()

    def end(self) -> None:
        self._serializer.close()

    def next(self) -> Any:
        return next(self._answers)

    def rest(self) -> list[Any]:
        """All images and texts up to the closing message."""
        return list(self._answers)


@contextmanager
def serving(
    method: str = 'grappa', *, memory: float = 1.0, **listening: Any
) -> Iterator[tuple[tuple[str, int], list[str]]]:
    """A server on a free port of this machine: its address, and what it logs."""
    log: list[str] = []
    where = replace(Listening(port=0, connections=4, seconds=20.0), **listening)
    with running(Inline(method, gigabytes=memory).service(2), where, log) as address:
        yield address, log


@contextmanager
def running(service: Service, listening: Listening, log: list[str]) -> Iterator[tuple[str, int]]:
    """A server in a thread of its own: its address."""
    with Server(service, listening, log.append) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server.address
        finally:
            server.stop()
            thread.join()
