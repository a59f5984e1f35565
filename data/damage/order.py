"""Samples that are not in the order of k-space: DC at index 0, images instead of k-space, lines read backwards.

The signal of an object is largest around DC, which belongs to the middle of every axis; its image is not. How coils
depend on each other is the same on all lines, if those are read in the same direction.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from raki.data.damage.lines import MeasuredLines
from raki.data.damage.relation import MOST_PLACES, left_of, relation
from raki.magnitude import in_unit, unit_of

FEWEST = 16
"""Samples along an axis, and measured lines, that tell an order."""

GATHERED = 0.3
"""Length of the mean direction of power around an axis, above which it has a middle; on clean scans over 0.58 [1]."""

NEAR = 1 / 8
"""Distance of that middle from index 0, as part of the axis; on clean scans it was 0.48 or more [1]."""

PEAKED = 2.0
"""Share of power in the middle after a Fourier transform, over that before; no clean scan reached it [1]."""

MIDDLE = 1 / 16
"""Part of the axis on both sides of DC [1]."""

BACKWARDS = 2.0
"""Power left of lines as they are, over that left of them read backwards; on clean scans it was at most 1.3 [1]."""


def about_order(lines: MeasuredLines) -> list[str]:
    """What is not in order, one sentence each."""
    if lines.samples.shape[-1] < FEWEST or len(lines.positions) < FEWEST or not bool(lines.samples.any()):
        return []
    return [*_about_numbers(lines.samples), *_about_middle(lines), *_about_direction(lines.samples)]


def _about_numbers(samples: Tensor) -> Iterator[str]:
    parts = torch.view_as_real(samples).any(0).any(0).any(0).cpu().tolist()
    if not all(parts):
        yield f'all {"real" if parts[1] else "imaginary"} parts of k-space are zero: half of the signal is missing'


def _about_middle(lines: MeasuredLines) -> Iterator[str]:
    power = lines.samples.abs().double().square()
    profile = _of_most_coils(power.sum(1))
    unshifted = ['the readout'] if _begins_with_dc(profile) else []
    for axis, size in enumerate(lines.shape):
        places, counts = lines.positions[:, axis], torch.bincount(lines.positions[:, axis], minlength=size)
        of_lines = torch.zeros(len(power), size, dtype=power.dtype, device=power.device)
        of_lines.index_add_(1, places, power.sum(2))
        if bool((counts > 0).all()) and size >= FEWEST and _begins_with_dc(_of_most_coils(of_lines / counts)):
            unshifted.append(f'phase axis {axis}' if len(lines.shape) > 1 else 'the lines')
    if unshifted:
        yield (
            f'k-space along {" and ".join(unshifted)} is largest around index 0, where its edge belongs, as if its '
            'halves were exchanged: with --axes, --fft unshifted reads it so'
        )
    elif _is_image(lines.samples, profile):
        yield (
            'samples along the readout look like an image, and their Fourier transform like k-space: reconstruction '
            'needs k-space'
        )


def _of_most_coils(profiles: Tensor) -> Tensor:
    """Median over coils of their profiles (coil, place), each relative to its sum, so that no odd coil decides."""
    totals = profiles.sum(1, keepdim=True)
    return (profiles / totals)[totals[:, 0] > 0].median(0).values


def _begins_with_dc(profile: Tensor) -> bool:
    """Whether power, axes (place,), gathers around index 0."""
    turn = 2 * math.pi * torch.arange(len(profile), device=profile.device, dtype=profile.dtype) / len(profile)
    mean = torch.complex(profile @ turn.cos(), profile @ turn.sin()) / profile.sum()
    return bool(mean.abs() > GATHERED) and abs(float(mean.angle())) < 2 * math.pi * NEAR


def _is_image(samples: Tensor, profile: Tensor) -> bool:
    samples = torch.fft.ifftshift(in_unit(samples, unit_of(samples)), dim=-1)
    transformed = torch.fft.fftshift(torch.fft.fft(samples, dim=-1), dim=-1)
    other, half = _of_most_coils(transformed.abs().double().square().sum(1)), len(profile) // 2
    width = max(2, round(MIDDLE * len(profile)))
    middle = slice(half - width, half + width + 1)
    shares = [float(each[middle].sum() / each.sum()) for each in (profile, other)]
    return shares[1] > PEAKED * shares[0] and abs(int(other.argmax()) - half) <= 1


def _about_direction(samples: Tensor) -> Iterator[str]:
    """Groups of lines that fit what was learnt from the others better when they are read backwards."""
    scale = samples.abs().double().square().mean((1, 2)).sqrt().to(samples.real.dtype)
    live = scale > 0
    if int(live.sum()) < 2:
        return
    scaled, number = samples[live] / scale[live][:, None, None], torch.arange(samples.shape[1], device=samples.device)
    groups = {'every second line': number % 2 == 1, 'one half of the lines': number < len(number) // 2}
    for name, group in groups.items():
        weights = relation(scaled[:, ~group])
        own = scaled[:, group]
        own = own[:, :: max(1, own[0].numel() // MOST_PLACES)]
        as_is, backwards = (float(left_of(each, weights).abs().double().square().sum()) for each in (own, own.flip(-1)))
        if as_is > BACKWARDS * backwards:
            yield (
                f'{name} fits the others {as_is / backwards:.1f} times better when read backwards (as in EPI): '
                'reverse its readout'
            )
