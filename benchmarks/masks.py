"""Published masks whose gaps differ, against regular lattices with the same ACS and the nearest net acceleration.

For each scan and rate: draw every mask that there is, and take lattices of two neighbouring spacings with as many
ACS lines, at every offset; print each method's error in the object on the masks, over that on the lattices of the
nearest net acceleration, and over what lies between both spacings at the net acceleration of the masks. Where the ACS
is too short for a gap, methods that need none take over, there and on the lattice.

    python benchmarks/masks.py --brain SCANS/pulseq_brain16.h5 --json OUT.json
"""

import argparse
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import torch
from contestants import contestants, fitted
from quality import magnitude
from torch import Tensor

from raki.commands.origin import versions
from raki.data.load import open_scan
from raki.data.masks import Drawn, Irregular, Pattern, pattern_of
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import CalibrationError
from raki.evaluation.metrics import nrmse_object, object_mask
from raki.interpolation.calibration import Method

SIMULATION = Simulation((320, 192), 16, 1, 0.005, 1)
"""320 lines, as most of the challenge's knees and brains have; a signal-to-noise ratio of 200."""

WITHOUT_ORDER = ('spirit', 'sparse')
"""Methods that take over where the ACS is too short for interpolation."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One slice and what it is judged against."""

    name: str
    kspace: Tensor
    """Fully sampled, axes (coil, ky, kx)."""
    image: Tensor
    """Image of the truth, axes (y, x)."""
    inside: Tensor
    """The object, boolean, same axes."""

    @classmethod
    def of(cls, name: str, scan: Scan) -> 'Truth':
        """The first slice of a fully sampled scan."""
        image = magnitude((scan.kspace if scan.reference is None else scan.reference)[0])
        return cls(name, scan.kspace[0], image, object_mask(image))

    def error(self, method: Method, pattern: Pattern) -> float:
        """Error in the object of what a method makes of a pattern."""
        measured = torch.where(pattern.mask[:, None], self.kspace, 0)
        return nrmse_object(magnitude(fitted(method, measured, pattern).fill(measured)), self.image, self.inside)


def lattices(n_lines: int, n_acs: int, net: float) -> Mapping[int, list[Pattern]]:
    """All offsets of the two neighbouring spacings between whose mean net accelerations one lies."""
    there = torch.ones(n_lines, dtype=torch.bool)
    for spacing in range(2, n_lines):
        pair = {
            size: [undersample(there, (size,), (n_acs,), first=(first,)) for first in range(size)]
            for size in (spacing, spacing + 1)
        }
        if net_acceleration(pair[spacing + 1]) >= net:
            return pair
    raise ValueError(f'no lattice of {n_lines} lines with an ACS of {n_acs} accelerates {net} times')


def net_acceleration(patterns: Sequence[Pattern]) -> float:
    """Mean over patterns."""
    return mean(each.net_acceleration for each in patterns)


def rows(truth: Truth, rate: int, seeds: Sequence[int], methods: Mapping[str, Method]) -> Iterator[dict[str, object]]:
    """One per method that the ACS allows; of the others what they say."""
    n_lines = truth.kspace.shape[1]
    drawn = torch.stack([Drawn('equispaced_fraction', seed).lines(n_lines, rate) for seed in seeds]).unique(dim=0)
    masks = [pattern_of(mask) for mask in drawn]
    n_acs = round(n_lines * Drawn('equispaced_fraction').centre_fraction(rate))
    net = net_acceleration(masks)
    regular = lattices(n_lines, n_acs, net)
    place = {'scan': truth.name, 'rate': rate, 'acs': n_acs, 'n_masks': len(masks), 'net': net}
    refused = False
    for name, method in methods.items():
        if name in WITHOUT_ORDER and not refused:
            continue
        try:
            found = [truth.error(method, pattern) for pattern in masks]
        except CalibrationError as error:
            refused = True
            yield {**place, 'method': name, 'refused': str(error)}
            continue
        as_seen = Irregular if name in WITHOUT_ORDER else _itself
        beside = {size: [truth.error(method, as_seen(each.mask)) for each in every] for size, every in regular.items()}
        yield {**place, 'method': name, **compared(masks, found, regular, beside)}


def _itself(mask: Tensor) -> Pattern:
    return pattern_of(mask)


def compared(
    masks: Sequence[Pattern],
    found: Sequence[float],
    regular: Mapping[int, Sequence[Pattern]],
    beside: Mapping[int, Sequence[float]],
) -> dict[str, object]:
    """Errors of masks over those of lattices: the nearest of each mask, and what lies between both spacings.

    Of lattices with the nearest net acceleration, which differ in their first line only, the mean is taken; between the
    means of both spacings the logarithm of the error is interpolated linearly.
    """
    nets = {size: net_acceleration(every) for size, every in regular.items()}
    means = {size: mean(errors) for size, errors in beside.items()}
    ratios = [error / nearest(mask, regular, beside) for mask, error in zip(masks, found, strict=True)]
    (low, high), net = nets, net_acceleration(masks)
    part = (net - nets[low]) / (nets[high] - nets[low])
    between = math.exp((1 - part) * math.log(means[low]) + part * math.log(means[high]))
    described = {str(size): {'net': nets[size], 'mean': means[size], 'errors': beside[size]} for size in regular}
    return {
        'errors': found,
        'lattices': described,
        'ratio': mean(ratios),
        'worst_ratio': max(ratios),
        'ratio_to_lower': mean(found) / means[low],
        'ratio_at_same_net': mean(found) / between,
    }


def nearest(mask: Pattern, regular: Mapping[int, Sequence[Pattern]], beside: Mapping[int, Sequence[float]]) -> float:
    """Mean error of the lattices whose net acceleration is nearest to that of a mask."""
    pairs = [
        (abs(lattice.net_acceleration - mask.net_acceleration), error)
        for size, every in regular.items()
        for lattice, error in zip(every, beside[size], strict=True)
    ]
    least = min(distance for distance, _ in pairs)
    return mean(error for distance, error in pairs if distance <= least + 1e-9)


def show(row: Mapping[str, object]) -> None:
    """Print a row."""
    place = f'{row["scan"]:16} R={row["rate"]} ACS {row["acs"]:2} net {row["net"]:.2f}  {row["method"]:7}'
    if 'refused' in row:
        print(f'{place} refused: {row["refused"]}', flush=True)
        return
    errors: list[float] = row['errors']  # type: ignore[assignment]
    spread = stdev(errors) if len(errors) > 1 else 0.0
    beside: Mapping[str, Mapping[str, float]] = row['lattices']  # type: ignore[assignment]
    regular = ', '.join(f'{each["mean"]:.4f} at R={size} (net {each["net"]:.2f})' for size, each in beside.items())
    ratios = f'{row["ratio"]:.3f} (worst {row["worst_ratio"]:.3f}), over the lower spacing {row["ratio_to_lower"]:.3f}'
    print(f'{place} {mean(errors):.4f} ± {spread:.4f}; lattices {regular}')
    print(
        f'    over the nearest lattice {ratios}, at the same net acceleration {row["ratio_at_same_net"]:.3f}',
        flush=True,
    )


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--brain', type=Path, help='a fully sampled scan')
    parser.add_argument('--methods', nargs='+', default=['grappa', 'gated', *WITHOUT_ORDER])
    parser.add_argument('--rates', nargs='+', type=int, default=[4, 8])
    parser.add_argument('--seeds', nargs='+', type=int, default=list(range(64)), help='masks that repeat count once')
    parser.add_argument('--json', type=Path, help='where to store every row')
    options = parser.parse_args()
    methods: Mapping[str, Method] = contestants(options.methods)  # type: ignore[assignment]
    scans = {} if options.brain is None else {options.brain.stem: open_scan(options.brain).read([0])}
    scans |= {'simulated_320': simulate(SIMULATION)}
    found = []
    for name, scan in scans.items():
        for rate in options.rates:
            for row in rows(Truth.of(name, scan), rate, options.seeds, methods):
                show(row)
                found.append(row)
    if options.json:
        machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
        settings = {'methods': {name: asdict(method) for name, method in methods.items()}, 'seeds': options.seeds}
        settings['simulation'] = asdict(SIMULATION)
        content = {'settings': settings, 'versions': versions(), 'machine': machine, 'rows': found}
        options.json.write_text(json.dumps(content, indent=1) + '\n')


if __name__ == '__main__':
    main()
