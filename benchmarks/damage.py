"""How much damage to samples is noticed, and how often scans without damage are suspected.

Scans and simulations, as they are and undersampled, must be told nothing about. Then single samples, blocks and noise
are changed, and every mutant is looked at: whether it is told, by a warning or a refusal, and by how much its
zero-filled image differs; more than 1 % without a word is silent.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/damage.py --scans DIR --json OUT.json
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.commands.catalogue import method_named
from raki.commands.origin import versions
from raki.data.damage.examine import dropped, warned
from raki.data.load import open_scan
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import ScanError
from raki.fourier import image_from_kspace
from raki.pipeline import reconstruct

RATES, NOISES, PHANTOMS = (2, 3, 4, 5, 6), (0.0, 0.003, 0.03, 0.1), ('head', 'bars', 'compartments')
HARM = 0.01
"""Change of the image, relative in the norm, from which on damage matters [1]."""

Mutation = Callable[[Tensor, Tensor, np.random.Generator], None]
"""Changes k-space (coil, measured line, kx), or noise (coil, sample), in place."""


def bit_flip(bit: int) -> Mutation:
    """Of a random real or imaginary part; 23 to 30 are those of the exponent, 31 is the sign."""

    def mutate(samples: Tensor, noise: Tensor, chance: np.random.Generator) -> None:
        del noise
        values = torch.view_as_real(samples).view(torch.int32).view(-1)
        values[int(chance.integers(len(values)))] ^= -(2**31) if bit == 31 else 2**bit

    return mutate


def spike(factor: float) -> Mutation:
    """Of a random sample."""

    def mutate(samples: Tensor, noise: Tensor, chance: np.random.Generator) -> None:
        del noise
        samples.view(-1)[int(chance.integers(samples.numel()))] *= factor

    return mutate


def zero_block(n_bytes: int) -> Mutation:
    """Along the readout, or along the lines, as files hold them."""

    def mutate(samples: Tensor, noise: Tensor, chance: np.random.Generator) -> None:
        del noise
        is_along_lines, n_samples = bool(chance.integers(2)), n_bytes // 8
        stored = (samples.transpose(1, 2) if is_along_lines else samples).clone(memory_format=torch.contiguous_format)
        start = int(chance.integers(max(1, stored.numel() - n_samples)))
        stored.view(-1)[start : start + n_samples] = 0
        samples.copy_(stored.transpose(1, 2) if is_along_lines else stored)

    return mutate


def page(*, is_exchanged: bool) -> Mutation:
    """A page of a file, of samples along the readout or the lines, over another one, or exchanged with it."""

    def mutate(samples: Tensor, noise: Tensor, chance: np.random.Generator) -> None:
        del noise
        is_along_lines = bool(chance.integers(2))
        stored = (samples.transpose(1, 2) if is_along_lines else samples).clone(memory_format=torch.contiguous_format)
        target, source = 512 * chance.choice(stored.numel() // 512, 2, replace=False)
        flat = stored.view(-1)
        before = flat[target : target + 512].clone()
        flat[target : target + 512] = flat[source : source + 512].clone()
        if is_exchanged:
            flat[source : source + 512] = before
        samples.copy_(stored.transpose(1, 2) if is_along_lines else stored)

    return mutate


def noise_flip(samples: Tensor, noise: Tensor, chance: np.random.Generator) -> None:
    """A noise sample a thousand times as large."""
    del samples
    noise.view(-1)[int(chance.integers(noise.numel()))] *= 1000


def clip(samples: Tensor, noise: Tensor, chance: np.random.Generator) -> None:
    """The receiver saturates at a third of the largest sample of a coil."""
    del noise
    values = torch.view_as_real(samples[int(chance.integers(len(samples)))])
    most = float(values.abs().max()) / 3
    values.clamp_(-most, most)


MUTATIONS: Mapping[str, Mutation] = {
    **{f'bit {bit}': bit_flip(bit) for bit in (22, 23, 24, 25, 26, 27, 28, 29, 30, 31)},
    **{f'spike x{factor:g}': spike(factor) for factor in (3, 10, 100, 1000)},
    **{f'{n} zero bytes': zero_block(n) for n in (512, 4096)},
    'repeated page': page(is_exchanged=False),
    'exchanged pages': page(is_exchanged=True),
    'noise x1000': noise_flip,
    'clipped coil': clip,
}


def image(kspace: Tensor) -> Tensor:
    """Root sum of squares, float64 so that nothing overflows."""
    return root_sum_of_squares(image_from_kspace(kspace.to(torch.complex128)))


def findings(kspace: Tensor, mask: Tensor, noise: Tensor | None) -> tuple[str, ...]:
    """What is said, a refusal included."""
    try:
        return warned(kspace, mask, noise).findings
    except ScanError as error:
        return (str(error),)


def undersampled(scan: Scan) -> Iterator[tuple[int, Tensor]]:
    """Masks of a scan: its own, and of slices that are fully sampled those of RATES."""
    yield 1, scan.mask
    if bool(scan.mask.all()) and scan.n_phase_axes == 1:
        for rate in RATES:
            yield rate, undersample(scan.mask, (rate,), (min(24, len(scan.mask) // 2),)).mask


def clean_scans(folder: Path | None) -> Iterator[tuple[str, Scan]]:
    """Real ones, and simulations."""
    for path in sorted(folder.glob('*.h5')) if folder else ():
        file = open_scan(path)
        yield from ((path.stem, file.read(frame=frame)) for frame in range(file.n_frames))
    for phantom in PHANTOMS:
        for noise in NOISES:
            yield f'{phantom}, noise {noise:g}', simulate(Simulation((96, 80), 6, noise=noise, phantom=phantom))
    yield 'volume', simulate(Simulation((16, 40, 32), 6))


def false_alarms(folder: Path | None) -> dict[str, object]:
    """How many of the clean slabs are told something, and which."""
    told, n_slabs = [], 0
    for name, scan in clean_scans(folder):
        for rate, mask in undersampled(scan):
            for slab in scan.kspace:
                n_slabs += 1
                found = findings(torch.where(mask[..., None], slab, 0), mask, scan.noise)
                told += [{'scan': name, 'rate': rate, 'finding': text} for text in found]
    return {'slabs': n_slabs, 'false_alarms': told}


def mutants(name: str, scan: Scan, n_each: int, seed: int) -> Iterator[dict[str, Any]]:
    """What comes of every mutation, at R=1 and 3: told, silent, harmless."""
    noise = torch.ones(scan.n_coils, 1) if scan.noise is None else scan.noise
    for kind, mutate in MUTATIONS.items():
        if kind == 'noise x1000' and scan.noise is None:
            continue
        counts, remaining = Counter[str](), []
        for number in range(n_each):
            chance = np.random.default_rng([number, len(name), seed])
            mask = scan.mask if number % 2 else undersample(scan.mask, (3,), (min(24, len(scan.mask) // 2),)).mask
            kspace, changed_noise = torch.where(mask[..., None], scan.kspace[0], 0), noise.clone()
            lines = kspace[:, mask].clone()
            mutate(lines, changed_noise, chance)
            changed = kspace.clone()
            changed[:, mask] = lines
            before = image(kspace)
            change = float((image(changed) - before).norm() / before.norm())
            used = None if scan.noise is None else changed_noise
            is_told = bool(findings(changed, mask, used)) or not bool(torch.isfinite(lines.abs()).all())
            counts['detected' if is_told else 'silent' if change > HARM else 'harmless'] += 1
            if is_told and change > HARM and bool(torch.isfinite(lines.abs()).all()) and 'noise' not in kind:
                repaired = image(dropped(changed, mask, used).kspace)
                remaining.append(float((repaired - before).norm() / before.norm()))
        after = float(np.median(remaining)) if remaining else None
        row = {'scan': name, 'mutation': kind, **{each: counts[each] for each in ('detected', 'silent', 'harmless')}}
        yield row | {'median_change_after_drop': after}


def cost(scan: Scan) -> dict[str, float]:
    """Seconds of the checks and of a GRAPPA reconstruction of R=3, the least of five each."""
    mask = undersample(scan.mask, (3,), (24,)).mask
    part = Scan(torch.where(mask[..., None], scan.kspace[:1], 0), mask)
    grappa, seconds = method_named('grappa'), {'checks': [], 'grappa': []}
    for _ in range(5):
        start = perf_counter()
        warned(part.kspace[0], mask, None)
        seconds['checks'].append(perf_counter() - start)
        start = perf_counter()
        reconstruct(part, grappa, device=torch.device('cpu'))
        seconds['grappa'].append(perf_counter() - start)
    least = {name: min(values) for name, values in seconds.items()}
    return {**least, 'part': least['checks'] / least['grappa']}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--scans', type=Path, help='folder with HDF5 scans')
    parser.add_argument('--json', type=Path, help='where to store the result')
    parser.add_argument('--each', type=int, default=20, help='mutants of every kind and scan')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    clean = false_alarms(options.scans)
    print(clean)
    scans = {'head': simulate(Simulation((128, 96), 8)), 'bars': simulate(Simulation((96, 80), 6, phantom='bars'))}
    for name in ('pulseq_brain16', 'iraki_prescan16') if options.scans else ():
        scans[name] = open_scan(options.scans / f'{name}.h5').read([0])
    rows = [row for name, scan in scans.items() for row in mutants(name, scan, options.each, options.seed)]
    for row in rows:
        print(row)
    total = {each: sum(row[each] for row in rows) for each in ('detected', 'silent', 'harmless')}
    costs = {name: cost(scan) for name, scan in scans.items()}
    print(total, costs)
    if options.json:
        content = {
            'settings': {'each': options.each, 'seed': options.seed},
            'versions': versions(),
            'clean': clean,
            'total': total,
            'costs': costs,
            'rows': rows,
        }
        options.json.write_text(json.dumps(content, indent=1))


if __name__ == '__main__':
    main()
