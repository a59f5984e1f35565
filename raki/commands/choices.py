"""What `raki reconstruct` would choose for a scan, why, and what was held out to choose it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from raki.commands.costs import guess_for
from raki.commands.info import acs_found, calibration_of
from raki.commands.job import Job
from raki.commands.outlook import WHOLE, steps
from raki.commands.progress import Course, Watch
from raki.commands.settings import Settings
from raki.data.damage.examine import warned
from raki.data.masks import Irregular
from raki.data.place import named
from raki.data.sampling import Sampling
from raki.data.scan import Scan, ScanFile
from raki.errors import CalibrationError
from raki.interpolation.calibration import Calibration, Method, Progress
from raki.interpolation.fit import Interpolator, ZeroFilling
from raki.interpolation.harm import held_out
from raki.interpolation.own import relearnt
from raki.interpolation.settings import setting_of
from raki.interpolation.tuning import RIDGES, Tuned, kernels_for, tune
from raki.networks.gated import Blend
from raki.partial_fourier.complete import complete
from raki.partial_fourier.methods import PARTIAL_FOURIER
from raki.pipeline import Slab

ENOUGH_ENERGY = 0.99
"""Part of the energy of the ACS that virtual coils should hold [1]."""

READING = ('dataset', 'axes', 'fft', 'measurement', 'centre')
"""How a file is read, which is told only where it was asked for."""

LEARNT_FROM = {
    'own': "own: measured lines, and the scan's own first reconstruction where it reaches beyond the ACS",
    'measured': 'measured: measured lines only',
}

HELD_OUT = 'held out: '
"""How a reason begins that tells what was left out to choose."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One setting, or what none can set."""

    setting: str
    """Name of a field of `raki.commands.settings.Settings`; empty where there is none."""
    value: Any
    reasons: tuple[str, ...]
    """One sentence each."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All choices for a file, in the order in which things are done."""

    source: str
    """The file, as the user named it."""
    learnt_from: str
    """In words."""
    choices: tuple[Choice, ...]


def plan_of(file: ScanFile, job: Job, watch: Watch) -> Plan:
    """Choose as a reconstruction would, which learns on the middle slice, or the volume, for what is tuned.

    Raises
    ------
    SamplingError, CalibrationError
        As the reconstruction would raise them.
    """
    (scan, place), settings, method = _middle(file), job.settings, job.prepared
    slab, told = Slab.of(job.seen(scan), 0, torch.device('cpu'), settings.coils), steps(file, scan)
    watch.expect(Course('plan', [settings.method], guesses=guess_for(scan, job)))
    fitted = _fitted(method, slab, watch(f'{place}: {settings.method}'))
    return Plan(
        file.path,
        place,
        (
            *_of_the_file(file, settings, scan, slab),
            Choice('spikes', settings.spikes, _damage(slab)),
            Choice('', None, (f'dead or repeated coils: {told["dead coils"]}',)),
            Choice('whiten', settings.whiten, (told['whitening'].removesuffix(' (--no-whiten)'),)),
            Choice('coils', settings.coils, _compression(slab)),
            *_of_the_method(method, settings, slab, fitted),
            Choice('partial_fourier', settings.partial_fourier, _beyond(slab, fitted, told['partial Fourier'])),
            Choice('combine', settings.combine, ('root of the sum of squares of all coils: needs no sensitivities',)),
            Choice('crop', settings.crop, (told['crop'].removesuffix(' (--no-crop)'),)),
            Choice('device', settings.device, ('the GPU where there is one, else the CPU',)),
        ),
    )


def _fitted(method: Method, slab: Slab, progress: Progress) -> Interpolator | None:
    """What is learnt on this slice; None of methods that are trained, which takes longer than a plan may."""
    if slab.is_whole or not hasattr(method, 'with_iterations'):
        return slab.fitted(method, progress)
    slab.require_feasible(method)
    return None


def _middle(file: ScanFile) -> tuple[Scan, str]:
    """The middle slice of the first frame, or the volume, and what it is called."""
    scan, frame = file.read([file.shape[0] // 2]), f', {file.frames[0]}' if file.n_frames > 1 else ''
    if scan.n_phase_axes == 2 and not scan.has_full_kz:
        return scan, f'the volume{frame}'
    if scan.n_phase_axes == 2:
        scan = scan.as_slices()
        return scan.only(scan.n_slabs // 2), f'slice {scan.n_slabs // 2} (of {scan.n_slabs}){frame}'
    return scan, f'slice {file.shape[0] // 2} (of {file.shape[0]}){frame}'


def _of_the_file(file: ScanFile, settings: Settings, scan: Scan, slab: Slab) -> Iterator[Choice]:
    """How it is read, and which part of it is reconstructed."""
    for name in READING:
        if (value := getattr(settings, name)) is not None:
            yield Choice(name, value, ('as asked for',))
    pattern, acs = slab.sampling, acs_found(scan, slab.sampling)['acs']
    lattice = str(pattern.lattice) if isinstance(pattern, Sampling) else 'no regular lattice'
    measured = f'{int(pattern.mask.sum())} of {pattern.mask.numel()} lines were measured'
    yield Choice('mask', settings.mask, (f'{measured}: {lattice}; ACS: {acs}',))
    some = ', such as [0] or [0, 1] for some' * (file.n_slices > 1)
    yield Choice('slices', None, (f'all slices: 0 to {file.n_slices - 1}{some}',))
    if file.n_frames > 1:
        yield Choice('repetition', None, (f'all frames: {named(file.frames)}',))


def _damage(slab: Slab) -> tuple[str, ...]:
    """What is wrong with samples of the slice that is looked at."""
    findings = warned(slab.kspace, slab.sampling.mask, slab.noise).findings
    return findings or ('no damaged samples in this slice; warn tells of them, drop replaces them',)


def _compression(slab: Slab) -> tuple[str, ...]:
    """How many virtual coils would do."""
    n_coils = len(slab.kspace)
    try:
        lines = slab.transform.apply(slab.acs).flatten(1).to(torch.complex128)
    except CalibrationError:
        return (f'all {n_coils} coils are kept',)
    energies = torch.linalg.eigvalsh(lines @ lines.mH).flip(0).clamp(min=0).cumsum(0)
    n_enough = max(2, int((energies < ENOUGH_ENERGY * energies[-1]).sum()) + 1)
    would = f'; {n_enough} virtual coils would hold {ENOUGH_ENERGY:.0%} of the energy of the ACS, and be quicker'
    return (f'all {n_coils} coils are kept' + would * (n_enough < n_coils),)


def _of_the_method(method: Method, settings: Settings, slab: Slab, fitted: Interpolator | None) -> Iterator[Choice]:
    """The method, what it learnt, and its settings."""
    source, seed = setting_of(method, 'calibration'), setting_of(method, 'seed')
    mask, inside = slab.sampling.mask, slab.sampling.inside
    lines = f'{int((inside & ~mask).sum())} lines are filled in from {int(mask.sum())} measured ones'
    if slab.is_whole or isinstance(method, ZeroFilling):
        yield Choice('method', settings.method, (WHOLE if slab.is_whole else 'nothing is filled in',))
    elif fitted is None:
        yield Choice('method', settings.method, (lines, 'not trained for this plan, which would take longer'))
        yield Choice('', None, tuple(f'{name}: {value}' for name, value in asdict(method).items()))
    else:
        yield Choice('method', settings.method, (lines, *_learnt(fitted)))
        yield from _tuned(slab, is_own=source == 'own')
    if source is not None:
        yield Choice('calibration', settings.calibration, (LEARNT_FROM[source],))
    if hasattr(method, 'faithful'):
        bound = 'no bound on what is taken from small points; 0.9 would give at least 90 % of them back'
        yield Choice('faithful', settings.faithful, (bound,) if settings.faithful is None else ('as asked for',))
    if seed is not None:
        yield Choice('seed', settings.seed, ('of all random numbers: the same seed gives the same bits',))


def _learnt(fitted: Interpolator) -> tuple[str, ...]:
    """What came of it on this slice."""
    found, who = list[str](), 'it' if fitted.refinement is None else 'what it starts from, gated,'
    for part in fitted.inner[:1]:
        if isinstance(part.patch_map, Blend):
            found.append(
                f'{who} goes {part.patch_map.share:.0%} of the way from grappa to the network: as far as the noise '
                'that this saves in the object is worth it, as measured lines tell'
            )
            found.append(f'{HELD_OUT}rows of the ACS in blocks, left out in turn, to confirm that share')
    done = fitted.transform.notes if fitted.transform else ()
    notes = (note for note in fitted.notes if note not in done)  # of coils, told before
    return (*found, *notes, *(f'warning: {text}' for text in fitted.warnings))


def _tuned(slab: Slab, *, is_own: bool) -> Iterator[Choice]:
    """Kernel and ridge, which no option sets, and what was held out for them."""
    if isinstance(slab.sampling, Irregular):
        return
    calibration = calibration_of(slab)
    tuned = tune(calibration)
    yield Choice('', None, (*_kernel(calibration, tuned), *_ridge(calibration, tuned, is_own=is_own)))
    yield Choice('', None, _guard(calibration, tuned))


def _kernel(calibration: Calibration, tuned: Tuned) -> Iterator[str]:
    kernels = kernels_for(calibration)
    every = {str(kernel): calibration.neighbourhood(kernel) for kernel in kernels}
    name = next(name for name, each in every.items() if each == tuned.neighbourhood)
    equations = f'{tuned.total.n_equations} equations for {len(tuned.total.gram)} unknowns'
    yield f'kernel {name} (acquired lines x samples), of {", ".join(every)}: {equations}'
    if len(tuned.folds) < 2:
        yield f'{HELD_OUT}nothing for the kernel, as the ACS holds one row of cells: it is the smallest'
        return
    yield f'{HELD_OUT}rows of the ACS in {len(tuned.folds)} blocks, left out in turn, for the kernel'


def _ridge(calibration: Calibration, tuned: Tuned, *, is_own: bool) -> Iterator[str]:
    own = relearnt(calibration, tuned) if is_own else tuned
    anew = f'; {own.regularization:.2g} with the own reconstruction' if own is not tuned else ''
    yield f'ridge {tuned.regularization:.2g} of the mean energy of a source sample, learnt on the ACS{anew}'
    yield (
        f'{HELD_OUT}each equation in turn (generalised cross-validation), for the ridge, of {len(RIDGES)} from '
        f'{float(RIDGES[0]):.0e} to {float(RIDGES[-1]):.0f}'
    )


def _guard(calibration: Calibration, tuned: Tuned) -> tuple[str, ...]:
    """Whether filling in is trusted at all."""
    every = held_out(calibration, tuned)
    if every is None:
        return (f'{HELD_OUT}runs of the readout, to tell whether filling in does harm',)
    by_whom = 'by the rest of the ACS', 'by that and the own reconstruction'
    told = ', '.join(f'{each.correlation:.2f} {who}' for each, who in zip(every, by_whom, strict=False))
    return (
        f'{HELD_OUT}the lines at both ends of the ACS, to tell whether filling in does harm: they are predicted with a '
        f'correlation of {told}',
    )


def _beyond(slab: Slab, fitted: Interpolator | None, told: str) -> tuple[str, ...]:
    """What is missing beyond one end, and how well each way to complete it does on hidden samples."""
    if not slab.acquired.partial or fitted is None:
        return (told,)
    others, kspace = (name for name in PARTIAL_FOURIER if name != 'zero-fill'), fitted.fill(slab.kspace)
    found = {name: complete(PARTIAL_FOURIER[name], kspace, slab.acquired)[1].weight for name in others}
    weights = ', '.join(f'{name} {weight:.2f}' for name, weight in found.items() if weight is not None)
    return (
        told,
        f'{HELD_OUT}the outer half of either side of the symmetric part: what would complete it deserves a weight (1: '
        f'right, 0: nothing in common with it) of {weights}',
    )
