"""What whitening and compressing coils do to the error in the object, and what compression saves.

Simulated scans with noise of three kinds of covariance and, where a folder is given, its scans that are fully sampled,
all repetitions taken together. Every cell is reconstructed with whitened coils and without. Scans without noise samples
show what whitening by the corners of k-space would do, which the package does not.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/coils.py --scans DIR --methods grappa raki --json OUT.json
"""

import argparse
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import exp, log
from pathlib import Path
from time import process_time

import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.coils.noise import coloured_noise, known_covariance, noise_factor
from raki.commands.catalogue import method_named
from raki.commands.origin import versions
from raki.data.load import open_scan
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError
from raki.evaluation.metrics import image_metrics
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Method
from raki.pipeline import reconstruct

CPU = torch.device('cpu')
N_NOISE_SAMPLES = 4096
CORNERS = '(corners)'
COMPRESSED = Simulation((128, 160), 32, 1, 0.005, 7)
"""The scan that is compressed."""


def covariances(n_coils: int) -> dict[str, Tensor]:
    """Noise covariances (coil, coil) of unit mean power: as simulated by default, strongly correlated, unequal."""
    distance = (torch.arange(n_coils)[:, None] - torch.arange(n_coils)).abs().double()
    gain = 4 ** torch.linspace(-0.5, 0.5, n_coils, dtype=torch.float64)[torch.randperm(n_coils, generator=_seeded(3))]
    found = {'correlated 0.7': 0.7**distance, 'unequal 1 to 4': gain[:, None] * gain * 0.3**distance}
    return {name: (matrix / matrix.diagonal().mean()).to(torch.complex128) for name, matrix in found.items()}


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def simulations() -> Iterator[tuple[str, Scan]]:
    """Scans with 8 and 16 coils, two noise levels, three covariances."""
    for seed, (n_coils, matrix, noise) in enumerate(product((8, 16), ((96, 128),), (0.02, 0.005))):
        scan = simulate(Simulation(matrix, n_coils, 1, noise, seed))
        yield f'{n_coils} coils {noise:g} mild', scan
        for name, covariance in covariances(n_coils).items():
            yield f'{n_coils} coils {noise:g} {name}', with_noise(scan, noise, covariance, seed)


def with_noise(scan: Scan, level: float, covariance: Tensor, seed: int) -> Scan:
    """The noise-free truth of a scan with other noise."""
    truth = scan.reference
    assert truth is not None
    peak = float(image_from_kspace(truth).abs().square().sum(1).sqrt().max())
    factor, generator = (level * peak * noise_factor(covariance)).to(torch.complex64), _seeded(seed)
    noise = coloured_noise(factor, tuple(truth.shape[2:]), generator)
    return replace(scan, kspace=truth + noise, noise=coloured_noise(factor, (N_NOISE_SAMPLES,), generator))


def real_scans(folder: Path | None) -> Iterator[tuple[str, Scan]]:
    """Scans of the folder that have noise samples, or corners of k-space that are taken for such."""
    for path in sorted(folder.glob('*.h5')) if folder else ():
        file = open_scan(path)
        if len(file.shape) > 4:
            continue
        repetitions = [file.read([file.shape[0] // 2], frame) for frame in range(file.n_frames)]
        scan = merged(repetitions)
        if not bool(scan.mask.all()):
            continue
        if scan.noise is None:
            noise = corners(scan.kspace[0])
            if known_covariance(noise) is not None:
                yield f'{path.stem} {CORNERS}', replace(scan, noise=noise)
        else:
            yield path.stem, scan


def merged(repetitions: Sequence[Scan]) -> Scan:
    """One scan of the lines of all repetitions; each line from the first that has it."""
    whole = repetitions[0]
    for scan in repetitions[1:]:
        kspace = torch.where(whole.mask[:, None], whole.kspace, scan.kspace)
        whole = replace(whole, kspace=kspace, mask=whole.mask | scan.mask)
    return whole


def corners(kspace: Tensor) -> Tensor:
    """Samples (coil, sample) of the four corners of k-space, a tenth of each side."""
    n_lines, n_readout = (size // 10 for size in kspace.shape[1:])
    ends = [kspace[:, lines] for lines in (slice(n_lines), slice(-n_lines, None))]
    return torch.cat(
        [end[..., part].flatten(1) for end in ends for part in (slice(n_readout), slice(-n_readout, None))], 1
    )


def error(scan: Scan, full: Scan, method: Method, coils: int | None = None) -> tuple[float, float]:
    """NRMSE in the object, and CPU time of fitting and filling [s]."""
    truth = root_sum_of_squares(image_from_kspace((full.kspace if full.reference is None else full.reference)[0]))
    start = process_time()
    image = reconstruct(replace(scan, image_shape=None), method, device=CPU, coils=coils).image[0]
    seconds = process_time() - start
    return image_metrics(image, truth)['nrmse_object'], seconds


def whitening_rows(
    name: str, full: Scan, methods: Mapping[str, Method], rates: Sequence[int], n_acs: int
) -> Iterator[dict[str, object]]:
    """Errors with and without whitening."""
    for rate, (label, method) in product(rates, methods.items()):
        scan = replace(full, mask=undersample(full.mask, (rate,), (n_acs,)).mask)
        try:
            plain, white = (error(each, full, method)[0] for each in (replace(scan, noise=None), scan))
        except CalibrationError as refusal:
            print(f'{name}: {refusal}')
            continue
        yield {'scan': name, 'method': label, 'rate': rate, 'acs': n_acs, 'plain': plain, 'white': white}


def compression_rows(methods: Mapping[str, Method], rates: Sequence[int], n_acs: int) -> Iterator[dict[str, object]]:
    """Errors and times of 32 coils compressed to fewer."""
    full = simulate(COMPRESSED)
    for rate, (label, method), coils in product(rates, methods.items(), (None, 24, 16, 12, 8)):
        scan = replace(full, mask=undersample(full.mask, (rate,), (n_acs,)).mask)
        found, seconds = error(scan, full, method, coils)
        yield {'method': label, 'rate': rate, 'coils': coils or 32, 'nrmse_object': found, 'cpu_seconds': seconds}


def trained(method: Method, n_iterations: int | None) -> Method:
    """With another number of iterations, if there is one."""
    change = getattr(method, 'with_iterations', None)
    return method if change is None or n_iterations is None else change(n_iterations)


def label_of(row: Mapping[str, object]) -> str:
    """Method and rate of a row."""
    return f'{row["method"]:12} R={row["rate"]}'


def summary(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Geometric mean and worst ratio of errors with whitening to those without, per method and source of noise."""
    groups: dict[tuple[object, str], list[float]] = {}
    for row in rows:
        source = CORNERS if CORNERS in str(row['scan']) else 'noise samples'
        groups.setdefault((row['method'], source), []).append(row['white'] / row['plain'])  # type: ignore[operator]
    for (method, source), ratios in groups.items():
        mean = exp(sum(map(log, ratios)) / len(ratios))
        yield f'{method}, {source}: white over plain {mean:.3f}, worst {max(ratios):.3f}, {len(ratios)} cells'


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scans', type=Path, help='folder with HDF5 scans; those fully sampled are used')
    parser.add_argument('--methods', nargs='+', default=['grappa'])
    parser.add_argument('--iterations', type=int, help='training iterations')
    parser.add_argument('--rates', nargs='+', type=int, default=[2, 3, 4, 5])
    parser.add_argument('--acs', type=int, default=24)
    parser.add_argument('--only', help='only scans whose name has this')
    parser.add_argument('--no-compression', action='store_true', help='leave compression out')
    parser.add_argument('--json', type=Path, help='where to store every row')
    options = parser.parse_args()
    methods = {name: trained(method_named(name), options.iterations) for name in options.methods}
    whitened: list[dict[str, object]] = []
    for name, scan in (*simulations(), *real_scans(options.scans)):
        if options.only and options.only not in name:
            continue
        for row in whitening_rows(name, scan, methods, options.rates, options.acs):
            ratio = row['white'] / row['plain']  # type: ignore[operator]
            figures = f'plain {row["plain"]:.4f} white {row["white"]:.4f} ({ratio:.3f})'
            print(f'{name:36} {label_of(row)} {figures}', flush=True)
            whitened.append(row)
    for line in summary(whitened):
        print(line)
    compressed = [] if options.no_compression else list(compression_rows(methods, options.rates, options.acs))
    for row in compressed:
        print(f'{label_of(row)} {row["coils"]:2} coils {row["nrmse_object"]:.4f} {row["cpu_seconds"]:.2f} s')
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        content = {'versions': versions(), 'machine': machine, 'whitening': whitened, 'compression': compressed}
        options.json.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
