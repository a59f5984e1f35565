"""What `raki serve` costs: how soon the last line of a slice gives its image, and what random messages leave behind.

1. Latency from the last line to the image, of later repetitions of a slice with what its first one has taught (reuse),
   and of slices that are learnt anew, against the same offline: filling in alone, filling in to the image, and learning
   as well. Server and client are two processes; offline runs while the server is idle. Minima are what a machine with
   nothing else to do needs.
2. Memory of the server before and after so many random messages, each on a connection of its own, and whether it still
   serves.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/serve.py --json OUT.json
"""

import argparse
import json
import os
import platform
import random
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from ismrmrd.serialization import ConfigText, ProtocolDeserializer, ProtocolSerializer

from raki.commands.catalogue import METHODS
from raki.commands.origin import versions
from raki.data.mrd.layout import ACQUISITION, bit
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Method
from raki.interpolation.fit import Interpolator
from raki.pipeline import Slab, reconstruct, root_sum_of_squares

MATRIX, N_COILS, RATE, N_ACS, NOISE = (192, 144), 14, 3, 24, 0.01
"""Lines x samples, coils, acceleration, lines of the ACS, noise of all coils together over the brightest voxel."""

RATIOS = (('reuse', 'fill'), ('reuse', 'fill to image'), ('anew', 'learn to image'))
"""Times of the server over times offline."""

CPU = torch.device('cpu')

HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodedSpace>{space}</encodedSpace>
<reconSpace>{space}</reconSpace><encodingLimits/><trajectory>cartesian</trajectory><parallelImaging>
<accelerationFactor><kspace_encoding_step_1>{rate}</kspace_encoding_step_1><kspace_encoding_step_2>1</kspace_encoding_step_2>
</accelerationFactor><calibrationMode>embedded</calibrationMode></parallelImaging></encoding></ismrmrdHeader>"""
SPACE = """<matrixSize><x>{}</x><y>{}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{}</x><y>{}</y><z>5</z></fieldOfView_mm>"""


def repeated_slice(n_repetitions: int) -> list[Scan]:
    """Repetitions of one slice, each with noise of its own."""
    full = simulate(Simulation(MATRIX, N_COILS, 1, noise=0.0))
    sampling = undersample(full.mask, (RATE,), (N_ACS,))
    peak = image_from_kspace(full.kspace[0]).abs().square().sum(0).sqrt().max()
    deviation, found = NOISE * peak / N_COILS**0.5, []
    for repetition in range(n_repetitions):
        generator = torch.Generator().manual_seed(repetition)
        noise = deviation * torch.randn(full.kspace.shape, dtype=torch.complex64, generator=generator)
        kspace = torch.where(sampling.mask[:, None], full.kspace + noise, 0)
        found.append(Scan(kspace, sampling.mask, image_shape=MATRIX))
    return found


def line_messages(scan: Scan, repetition: int) -> list[bytes]:
    """Messages of the measured lines of a slice."""
    rows, kspace, result = scan.mask.nonzero().flatten().tolist(), scan.kspace[0], []
    acs = range((MATRIX[0] - N_ACS) // 2, (MATRIX[0] + N_ACS) // 2)
    for row in rows:
        head = np.zeros((), ACQUISITION)
        head['version'], head['number_of_samples'], head['center_sample'] = 1, MATRIX[1], MATRIX[1] // 2
        head['active_channels'] = head['available_channels'] = N_COILS
        head['idx']['kspace_encode_step_1'], head['idx']['repetition'] = row, repetition
        head['read_dir'], head['phase_dir'], head['slice_dir'] = np.eye(3)
        flags = bit('calibration and image') if row in acs else np.uint64(0)
        head['flags'] = flags | (bit('last in slice') if row == rows[-1] else np.uint64(0))
        result.append(b'\xf0\3' + head.tobytes() + kspace[:, row].numpy().tobytes())
    return result


@contextmanager
def served(method: str) -> Iterator[tuple[int, tuple[str, int]]]:
    """`raki serve` in a process of its own: its number, and its address."""
    command = [sys.executable, '-m', 'raki.cli', 'serve', '--port', '0', '--method', method, '--timeout', '30']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            match = re.match(r'listening on (\S+):(\d+),', cast(Any, process.stdout).readline())
            assert match is not None
            yield process.pid, (match[1], int(match[2]))
        finally:
            process.terminate()


class Client:
    """A connection that sends lines and waits for images."""

    def __init__(self, address: tuple[str, int], *, reuse: bool) -> None:
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = cast(BinaryIO, self._socket.makefile('rwb'))
        space = SPACE.format(MATRIX[1], MATRIX[0], MATRIX[1], MATRIX[0])
        header = HEADER.format(space=space, rate=RATE).encode()
        ProtocolSerializer(self._file).serialize(ConfigText(json.dumps({'parameters': {'reuse': reuse}})))
        self._send([b'\3\0' + struct.pack('<I', len(header)) + header])
        self._answers: Any = ProtocolDeserializer(self._file).deserialize()

    def _send(self, messages: Sequence[bytes]) -> None:
        self._file.write(b''.join(messages))
        self._file.flush()

    def seconds(self, messages: Sequence[bytes]) -> tuple[float, np.ndarray]:
        """Send a slice, and take the time from its last line to its image (y, x) [s]."""
        self._send(messages[:-1])
        sleep(0.1)  # until all of them have been taken
        start = perf_counter()
        self._send(messages[-1:])
        image = next(self._answers)
        return perf_counter() - start, np.array(image.data[0, 0])

    def close(self) -> None:
        """End the stream and the connection."""
        self._send([b'\4\0'])
        self._file.close()
        self._socket.close()


def latency(method: str, n_repetitions: int) -> dict[str, object]:
    """Medians and minima over repetitions [s], their ratios, and the largest difference between images of both [1]."""
    first, *series = repeated_slice(n_repetitions + 1)
    taught = reconstruct(first, METHODS[method], device=CPU).interpolators
    with served(method) as (_, address):
        rows, difference = filled_in(address, first, series, taught)
        rows = [row | more for row, more in zip(rows, learnt(address, series, METHODS[method]), strict=True)]
    medians = {f'{name} [s]': median(row[name] for row in rows) for name in rows[0]}
    least = {f'least {name} [s]': min(row[name] for row in rows) for name in rows[0]}
    ratios = {f'{a} over {b}': median(row[a] / row[b] for row in rows) for a, b in RATIOS}
    ratios |= {f'least {a} over {b}': least[f'least {a} [s]'] / least[f'least {b} [s]'] for a, b in RATIOS}
    return {
        'method': method,
        'repetitions': n_repetitions,
        **medians,
        **least,
        **ratios,
        'largest difference': difference,
    }


def filled_in(
    address: tuple[str, int], first: Scan, series: Sequence[Scan], taught: Sequence[Interpolator]
) -> tuple[list[dict[str, float]], float]:
    """Times of images of later repetitions with what the first one has taught, and of the same offline [s]."""
    rows, difference, client = [], 0.0, Client(address, reuse=True)
    client.seconds(line_messages(first, 0))
    for repetition, scan in enumerate(series, start=1):
        seconds, image = client.seconds(line_messages(scan, repetition))
        sleep(0.1)
        slab = Slab.of(scan, 0, CPU)
        start = perf_counter()
        filled = taught[0].fill(slab.kspace)
        at_fill = perf_counter()
        images = image_from_kspace(filled)
        at_images = perf_counter()
        expected = root_sum_of_squares(images).numpy()
        end = perf_counter()
        parts = {'fill': at_fill - start, 'Fourier transform': at_images - at_fill, 'combination': end - at_images}
        rows.append({'reuse': seconds, 'fill to image': end - start, **parts})
        difference = max(difference, float(np.abs(image - expected).max() / expected.max()))
    client.close()
    return rows, difference


def learnt(address: tuple[str, int], series: Sequence[Scan], method: Method) -> list[dict[str, float]]:
    """Times of images of which each is learnt anew, and of the same offline [s]."""
    rows, client = [], Client(address, reuse=False)
    for repetition, scan in enumerate(series):
        seconds, _ = client.seconds(line_messages(scan, repetition))
        start = perf_counter()
        reconstruct(scan, method, device=CPU)
        rows.append({'anew': seconds, 'learn to image': perf_counter() - start})
    client.close()
    return rows


def random_message(source: random.Random) -> bytes:
    """Anything, mostly with a number that exists, so that it is looked at."""
    number = source.choice([1, 2, 3, 4, 5, 1008, 1022, 1026, source.randrange(1 << 16)])
    return struct.pack('<H', number) + source.randbytes(source.choice([0, 1, 4, 30, 400, 1500, 20000]))


def resident_megabytes(process: int) -> float:
    """Memory that a process holds [MB]."""
    status = Path(f'/proc/{process}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+)', status)[1]) / 1e3  # type: ignore[index]


def endurance(n_messages: int, n_before: int = 100) -> dict[str, object]:
    """Memory over random messages, and whether a good client is served after them."""
    source, memory = random.Random(0), []
    with served('grappa') as (process, address):
        for number in range(n_before + n_messages):
            if number >= n_before and (number - n_before) % max(1, n_messages // 10) == 0:
                memory.append(resident_megabytes(process))
            with socket.create_connection(address, timeout=60) as connection:
                try:
                    connection.sendall(random_message(source))
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass
                except OSError:
                    continue
        memory.append(resident_megabytes(process))
        series = repeated_slice(1)
        client = Client(address, reuse=False)
        _, image = client.seconds(line_messages(series[0], 0))
        client.close()
    grown = memory[-1] - memory[0]
    return {'messages': n_messages, 'resident [MB]': memory, 'growth [MB]': grown, 'serves': bool(image.any())}


def show(figures: Mapping[str, object]) -> None:
    """Print one figure a line."""
    for name, value in figures.items():
        print(f'{name:28}', f'{value:.4g}' if isinstance(value, float) else value)


def main() -> None:
    """Print both, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n', maxsplit=1)[0])
    parser.add_argument('--repetitions', type=int, default=15, help='of the slice, to measure')
    parser.add_argument('--messages', type=int, default=10000, help='random ones to send')
    parser.add_argument('--methods', nargs='+', default=['grappa', 'gated'])
    parser.add_argument('--json', type=Path, help='file to write')
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '1')))
    rows = [latency(method, options.repetitions) for method in options.methods]
    for row in rows:
        show(row)
    random_messages = endurance(options.messages)
    show(random_messages)
    case = {'matrix': MATRIX, 'coils': N_COILS, 'rate': RATE, 'acs': N_ACS, 'noise': NOISE}
    machine = {'processor': platform.processor() or platform.machine(), 'cores': os.cpu_count()}
    machine |= {'load': os.getloadavg(), 'threads': torch.get_num_threads(), 'system': platform.system()}
    result = {'case': case, 'machine': machine, 'versions': versions(), 'latency': rows, 'random': random_messages}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
