"""What it saves, and what it costs, to learn once for a series of frames: stored fits against fits of every frame.

Frames of one object under noise that is drawn anew. Each is reconstructed with a fit of its own, and with that of the
first one, read from a file; errors are of the images within the object, against the truth without noise. One thread.

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python benchmarks/fits.py --json benchmarks/results/fits.json
"""

import argparse
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from time import perf_counter, process_time
from typing import Any

import torch
from quality import stored

import raki
from raki.coils.combine import root_sum_of_squares
from raki.coils.noise import coloured_noise, noise_covariance, noise_factor
from raki.commands.origin import versions
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import nrmse_object, object_mask
from raki.fourier import image_from_kspace

MATRIX, N_COILS, RATE, N_ACS = (192, 144), 14, 4, 24
NOISES = (0.003, 0.02)


def frames_of(noise: float, n_frames: int) -> tuple[list[Scan], torch.Tensor]:
    """Undersampled frames, and the image of the truth, axes (y, x)."""
    whole = simulate(Simulation(MATRIX, N_COILS, 1, noise))
    assert whole.reference is not None
    assert whole.noise is not None
    truth, mask = whole.reference, undersample(whole.mask, (RATE,), (N_ACS,)).mask
    factor = noise_factor(noise_covariance(whole.noise))

    def frame(index: int) -> Scan:
        generator = torch.Generator().manual_seed(1000 + index)
        kspace = truth + coloured_noise(factor, tuple(truth[0, 0].shape), generator)
        measured = torch.where(mask[:, None], kspace, 0)
        return replace(whole, kspace=measured, mask=mask, reference=None)

    return [frame(index) for index in range(n_frames)], root_sum_of_squares(image_from_kspace(truth[0]), None)


def rows_of(method: str, noise: float, n_frames: int, folder: Path) -> Iterator[dict[str, Any]]:
    """One row for every frame: seconds of either way, and errors."""
    frames, truth = frames_of(noise, n_frames)
    inside, path = object_mask(truth), folder / f'{method}.safetensors'
    for index, scan in enumerate(frames):
        start = process_time()
        own = raki.reconstruct(scan, method)
        learnt = process_time()
        if index == 0:
            begin = perf_counter()
            raki.save_fits(path, own, scan, method)
            written = perf_counter()
            fits = raki.load_fits(path)
            seconds = {'write': written - begin, 'read': perf_counter() - written}
        begin = process_time()
        first = raki.reconstruct(scan, method, fitted=fits.interpolators)
        filled = process_time()
        errors = [float(nrmse_object(each.reconstruction.image[0], truth, inside)) for each in (own, first)]
        yield {
            'method': method,
            'noise': noise,
            'frame': index,
            'cpu_seconds_own': learnt - start,
            'cpu_seconds_stored': filled - begin,
            'error_own': errors[0],
            'error_stored': errors[1],
            'bytes': path.stat().st_size,
            **{f'seconds_{name}': value for name, value in seconds.items()},
        }


def summary_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all frames of one method and noise; errors of the later frames, which the stored fit has not seen."""
    later = rows[1:]
    ratios = [row['error_stored'] / row['error_own'] for row in later]
    return {
        'n_frames': len(rows),
        'bytes': rows[0]['bytes'],
        'seconds_write': rows[0]['seconds_write'],
        'seconds_read': rows[0]['seconds_read'],
        **{name: median(row[name] for row in rows) for name in ('cpu_seconds_own', 'cpu_seconds_stored')},
        **{name: mean(row[name] for row in later) for name in ('error_own', 'error_stored')},
        'ratio_mean': mean(ratios),
        'ratio_largest': max(ratios),
    }


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--methods', nargs='+', default=['grappa', 'gated', 'spirit', 'sparse'])
    parser.add_argument('--frames', type=int, default=20)
    parser.add_argument('--json', type=Path, help='where to store it')
    options = parser.parse_args()
    torch.set_num_threads(1)
    every, summary = list[dict[str, Any]](), dict[str, dict[str, Any]]()
    print(
        'method   noise      MB  write s  read s  own CPU-s/frame  stored CPU-s/frame  error own  stored   ratio (max)'
    )
    with tempfile.TemporaryDirectory() as folder:
        for method in options.methods:
            for noise in NOISES:
                rows = list(rows_of(method, noise, options.frames, Path(folder)))
                found = summary[f'{method}, noise {noise:g}'] = summary_of(rows)
                every += rows
                print(
                    f'{method:8} {noise:5g} {found["bytes"] / 1e6:7.2f} {found["seconds_write"]:8.3f} '
                    f'{found["seconds_read"]:7.3f} {found["cpu_seconds_own"]:16.3f} '
                    f'{found["cpu_seconds_stored"]:19.3f} {found["error_own"]:10.5f} {found["error_stored"]:7.5f} '
                    f'{found["ratio_mean"]:7.4f} ({found["ratio_largest"]:.4f})',
                    flush=True,
                )
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        case = {'matrix': MATRIX, 'coils': N_COILS, 'rate': RATE, 'acs': N_ACS, 'noises': NOISES}
        told = {'summary': summary, 'case': case, 'versions': versions(), 'machine': machine, 'rows': every}
        options.json.write_text(stored(told))


if __name__ == '__main__':
    main()
