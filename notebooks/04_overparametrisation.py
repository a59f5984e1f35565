# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Over-parametrisation: through the interpolation threshold, and how to get there
#
# RAKI's networks often have more weights than the ACS has equations. Classical statistics says: overfitting. The theory
# of interpolation ([Belkin et al. 2019](https://doi.org/10.1073/pnas.1903070116), [Belkin
# 2021](https://doi.org/10.1017/S0962492921000039)) says: the error on what was not fitted is worst where weights and
# equations are equal in number, and *descends again* beyond. And of the way there ([Roy et al.
# 2020](https://proceedings.neurips.cc/paper_files/paper/2020/hash/92a08bf918f44ccd961477be30023da1-Abstract.html)):
# where a model can interpolate, gradients of single samples vanish together with their mean, so stochastic methods
# escape from saddles and arrive as fast as exact ones. A network that is trained on one scan is a small laboratory for
# both: everything that it will ever see is on this page.
#
# The long form (seven minutes of one core) stores [what it finds](results/04_optimisers.md), and where:
#
# RAKI_RESULTS=notebooks/results RAKI_SCAN=iraki_prescan16.h5 python notebooks/04_overparametrisation.py
#
# Without RAKI_RESULTS it is a short one, without RAKI_SCAN (any fully sampled scan) the laboratory's scan is simulated.
#
# ![Features, strong growth, optimisers at equal loss, and the escape from zero](results/04_overparametrisation.svg)

# %%
import dataclasses
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from laboratory.optimisers import (
    Step,
    adam,
    cubic_newton,
    cubic_step,
    curvature,
    descent,
    exact_hessian,
    gradient,
    krylov,
    stochastic,
)
from laboratory.problem import Problem, network, problem_of
from torch import Tensor

import raki
from raki.commands.origin import versions
from raki.data.sampling import Sampling
from raki.evaluation.metrics import kspace_nrmse, nrmse
from raki.interpolation.calibration import Calibration, Learnt, Progress
from raki.interpolation.least_squares import pairs
from raki.interpolation.neighbours import Cells, Neighbourhood
from raki.networks.raki import NetworkMap

RESULTS = os.environ.get('RAKI_RESULTS')
FULL = RESULTS is not None
PLAIN = raki.Grappa(calibration='measured')  # automatic GRAPPA that learns from measured lines alone
RATE, N_FITTED, N_ACS = 3, 20, 36
SEEDS = range(3) if FULL else range(1)

full = raki.simulate(raki.Simulation(matrix=(96, 48) if FULL else (96, 24), n_coils=6, noise=0.003, seed=4))
assert full.reference is not None
sampling = raki.undersample(full.mask, (RATE,), (N_ACS,))
kspace = torch.where(sampling.mask[:, None], full.kspace[0], 0)
acs = sampling.acs_block(kspace)
fitted_lines, held_out_lines = acs[:, :N_FITTED].contiguous(), acs[:, N_FITTED:].contiguous()

# %% [markdown]
# ## Random features
#
# Three errors, each NRMSE of complex k-space samples: on the fitted ACS lines; on ACS lines next to them, held out,
# which no fitted patch touches; and on the missing lines, which are what we want. The truth is known, as the scan is
# simulated.
#
# A network whose first layer is drawn at random and never trained, and whose last layer is the least-squares solution
# of least norm, in closed form. So nothing but the number of features changes, and no optimiser blurs the picture. As
# a method it is a few lines (see *Your own method*).


# %%
def rectified(values: Tensor) -> Tensor:
    """ReLU of real and imaginary parts."""
    return torch.complex(values.real.relu(), values.imag.relu())


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """Random features of a patch, then a linear map."""

    random: Tensor
    weights: Tensor

    def __call__(self, lines: Tensor, cells: Cells) -> Tensor:
        features = rectified(cells.patches(lines).to(torch.complex128) @ self.random)
        return (features @ self.weights).unflatten(-1, (len(lines), -1)).permute(2, 3, 0, 1).to(torch.complex64)


@dataclasses.dataclass(frozen=True, slots=True)
class RandomFeatures:
    """ReLU of random combinations of 2 x 5 neighbours of all coils; least squares of least norm on top."""

    n_features: int
    ridge: float = 0.0
    """Relative to the mean energy of a feature [1]."""
    seed: int = 0

    def smallest(self, calibration: Calibration) -> Neighbourhood:
        return calibration.neighbourhood(raki.Kernel(2, 5))

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        around = self.smallest(calibration)
        found = pairs(calibration.acs_lines, calibration.cells(around))
        sources, targets = (samples.to(torch.complex128) for samples in found)
        generator = torch.Generator().manual_seed(self.seed)
        random = torch.randn(sources.shape[1], self.n_features, dtype=torch.complex128, generator=generator)
        features = rectified(sources @ random)
        weights = ridge(features, targets, self.ridge) if self.ridge else least_norm(features, targets)
        progress(1, 1)
        return Learnt(FeatureMap(random, weights), around, 1e-3, len(sources), self.n_features)


def least_norm(features: Tensor, targets: Tensor) -> Tensor:
    """Least squares; of all weights that fit equally well, those of least norm."""
    if features.shape[1] <= len(features):
        orthonormal, triangular = torch.linalg.qr(features)
        return torch.linalg.solve_triangular(triangular, orthonormal.mH @ targets, upper=True)
    orthonormal, triangular = torch.linalg.qr(features.mH)
    return orthonormal @ torch.linalg.solve_triangular(triangular.mH, targets, upper=False)


def ridge(features: Tensor, targets: Tensor, relative: float) -> Tensor:
    """Weights that minimise ||features w - targets||^2 + ridge ||w||^2."""
    n_equations, n_features = features.shape
    damping = relative * float(features.abs().square().sum()) / n_features
    if n_features <= n_equations:
        return torch.linalg.solve(features.mH @ features + damping * torch.eye(n_features), features.mH @ targets)
    return features.mH @ torch.linalg.solve(features @ features.mH + damping * torch.eye(n_equations), targets)


# %% [markdown]
# ## The short way
#
# Fit, fill, measure: one function for every method.


# %%
def missing(sampling: Sampling) -> Tensor:
    """Lines to fill in, axes (ky,)."""
    return ~sampling.mask


def errors(method: raki.Method) -> dict[str, float]:
    """NRMSE on the fitted ACS lines, on the held-out ones, and on the missing lines."""
    interpolator = raki.fit(method, kspace, sampling, fitted_lines)
    (inner,) = interpolator.inner
    found = {}
    for name, lines in (('fitted', fitted_lines), ('held out', held_out_lines)):
        cells = Cells.inside(inner.cells.neighbourhood, lines.shape[1:2])
        found[name] = nrmse(inner.patch_map(lines, cells), cells.values(lines))
    found['missing'] = kspace_nrmse(interpolator.fill(kspace), full.reference[0], missing(sampling))  # type: ignore[index]
    return found


n_equations = (N_FITTED - RATE) * (kspace.shape[-1] - 4)
n_features = 2 * n_equations
print(f'{n_equations} equations')
for name, method in {'GRAPPA': PLAIN, f'{n_features} features': RandomFeatures(n_features)}.items():
    print(f'{name:14s}', {kind: round(error, 4) for kind, error in errors(method).items()})

# %% [markdown]
# ## By hand
#
# The same features and the same least norm, from patches cut out one by one: w = F^H (F F^H)^-1 t, which fits every
# equation exactly.

# %%
generator = torch.Generator().manual_seed(0)
random = torch.randn(len(acs) * 2 * 5, n_features, dtype=torch.complex128, generator=generator)


def patch(lines: Tensor, line: int, sample: int, distance: int) -> Tensor:
    """Two lines, so far apart, times five samples, of all coils."""
    return lines[:, line : line + distance + 1 : distance, sample : sample + 5].flatten()


n_columns = kspace.shape[-1] - 4
positions = [(line, sample) for line in range(N_FITTED - RATE) for sample in range(n_columns)]
sources = torch.stack([patch(fitted_lines, *position, RATE) for position in positions]).to(torch.complex128)
targets = torch.stack([fitted_lines[:, line + 1 : line + RATE, sample + 2].flatten() for line, sample in positions])
features = rectified(sources @ random)
weights = features.mH @ torch.linalg.solve(features @ features.mH, targets.to(torch.complex128))
line, sample = sampling.lattice.first[0] + 4 * RATE, 7
predicted = rectified(patch(kspace, line, sample, RATE).to(torch.complex128) @ random) @ weights

# %% [markdown]
# ## Both agree

# %%
interpolator = raki.fit(RandomFeatures(n_features), kspace, sampling, fitted_lines)
short = interpolator.fill(kspace)[:, line + 1 : line + RATE, sample + 2].flatten()
assert not sampling.mask[line + 1]
assert nrmse(features @ weights, targets) < 1e-6
assert nrmse(short, predicted) < 1e-4
print('the short way and the long way agree')

# %% [markdown]
# ## Through the threshold
#
# Features from a twentieth of the number of equations to many times it; without a ridge, and with one.

# %%
Curve = dict[float, dict[str, float]]
RATIOS = (0.05, 0.1, 0.2, 0.4, 0.7, 0.9, 1, 1.1, 1.5, 2, 4, 8) + ((16,) if FULL else ())


def median_errors(methods: Sequence[raki.Method]) -> dict[str, float]:
    """Median over draws of each error."""
    found = [errors(method) for method in methods]
    return {kind: float(torch.tensor([each[kind] for each in found]).median()) for kind in found[0]}


def feature_curve(ridge: float) -> Curve:
    """Errors over features / equations."""
    sizes = {ratio: max(1, round(ratio * n_equations)) for ratio in RATIOS}
    return {ratio: median_errors([RandomFeatures(n, ridge, seed) for seed in SEEDS]) for ratio, n in sizes.items()}


def show(title: str, curve: Mapping[float, Mapping[str, float]]) -> None:
    """Print a curve."""
    print(f'{title}\n  ratio   fitted  held out  missing')
    for ratio, found in curve.items():
        print(f'{ratio:7.3g} {found["fitted"]:8.4f} {found["held out"]:9.4f} {found["missing"]:8.4f}')


curves = {'random features': feature_curve(0.0), 'random features, ridge 0.001': feature_curve(1e-3)}
for title, curve in curves.items():
    show(title, curve)

# %% [markdown]
# The three signs of double descent: the ACS is fitted exactly from ratio 1 on; the error on what was not fitted peaks
# there, many times above that of zero filling, which is 1; and far beyond it, where ACS errors are zero throughout,
# it is lower than it ever was below. With a ridge there is no peak.

# %%
plain, ridged = curves.values()
for kind in ('held out', 'missing'):
    below = min(found[kind] for ratio, found in plain.items() if ratio < 1)
    assert plain[1][kind] > 3 * below
    assert plain[8][kind] < below
    assert max(found[kind] for found in ridged.values()) < 0.5 * plain[1][kind]
assert plain[0.4]['fitted'] > 0.05
assert plain[2]['fitted'] < 1e-4

# %% [markdown]
# ## Trained to zero loss: the setting
#
# The paper's network for one real channel: with 4 coils at R = 4 it has 2,960 weights in three layers, few enough
# that its Hessian (70 MB) can be written down. No bias: the network is homogeneous of degree 3 in all weights together.
# Everything is scaled to a root mean square of 1 and float64. The loss F is the squared error over that of predicting
# zero, the mean of f_i over *windows*, i.e. positions in the ACS; F = 1 at zero weights, and nothing is held back.

# %%
WIDTH, N_LAB_ACS, BATCH = (32, 20, 32) if FULL else (4, 14, 16)
LEVELS = (1e-1, 1e-2, 3e-3, 1e-3) if FULL else (5e-1, 3e-1)


def laboratory() -> tuple[Tensor, Sampling]:
    """K-space of 4 virtual coils, axes (coil, ky, kx), fully sampled, and the pattern of R = 4."""
    named = os.environ.get('RAKI_SCAN')
    scan = raki.load_scan(named) if named else raki.simulate(raki.Simulation((40, 32), 6, 1, 0.003, 4))
    kspace = scan.kspace[scan.n_slabs // 2]
    sampling = raki.undersample(scan.mask, (4,), (N_LAB_ACS,))
    return raki.coil_transform(sampling.acs_block(kspace), scan.noise, 4).apply(kspace), sampling


lab, pattern = laboratory()
known = Calibration(pattern.acs_block(lab), pattern.lattice, pattern, torch.where(pattern.mask[:, None], lab, 0))
problem = problem_of(known, lab, WIDTH)
n_lab_equations = problem.acs.targets.numel()
print(f'{problem.shape.n_weights} weights, {n_lab_equations} equations, {problem.n_windows} windows')

# %% [markdown]
# ## Five optimisers
#
# Gradient descent; SGD on windows drawn at random; perturbed SGD, which adds a little noise to every gradient, as the
# theory wants it for saddles; Newton with cubic regularisation ([Nesterov and Polyak
# 2006](https://doi.org/10.1007/s10107-006-0706-8)), whose step minimises g s + s H s / 2 + M |s|^3 / 6 in a Krylov
# space of the exact Hessian ([Cartis et al. 2011](https://doi.org/10.1007/s10107-009-0286-5), also the rule for M); and
# Adam. They are laboratory equipment, in `notebooks/laboratory/`, and no part of the library. A step costs so many
# gradients of the whole ACS; a product with the Hessian counts as two.

# %% [markdown]
# ## By hand: the network, the step, the gradients
#
# The network of the laboratory is the library's: the same weights predict what its own map does. The
# cubic step in a Krylov space is that of all eigenvectors of the exact Hessian. And gradients of single windows average
# to that of the loss.


# %%
def window_gradients(problem: Problem, weights: Tensor) -> Tensor:
    """Axes (window, weight)."""

    def loss(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        return problem.loss_of(weights, inputs[None], targets[None])

    inputs, targets = problem.windows
    return torch.func.vmap(torch.func.grad(loss), (None, 0, 0), chunk_size=256)(weights, inputs, targets)


small = problem_of(known, lab, 3)
seeded = small.start(0)
slope, _ = gradient(small.loss, seeded)
assert nrmse(window_gradients(small, seeded).mean(0), slope) < 1e-9

_, exactly = cubic_step(exact_hessian(small.loss, seeded), slope, 1.0)
hessian, basis = krylov(curvature(small.loss, seeded), slope, 60)
_, promised = cubic_step(hessian, basis @ slope, 1.0)
assert abs(promised / exactly - 1) < 0.01

method, stack = network(WIDTH), network(WIDTH).stack(known)
drawn = NetworkMap(method, stack, method.start(known), None, method.scale(known.acs))
own = torch.cat([layer[:1].flatten() for layer in drawn.weights]).double()
between = known.lattice_cells(stack.receptive_field)
library = drawn(known.measured, between).real[0] * drawn.scale
here = problem.predict(own, problem.missing.inputs, problem.missing.hidden)
assert nrmse(here.float(), library) < 1e-4
print('the laboratory, the library and exact eigenvectors agree')

# %% [markdown]
# ## Strong growth
#
# The theory's condition: E |g_i|^2 <= rho |grad F|^2 with one constant for the whole way. It can hold only if all
# windows can be fitted at once; where they cannot, the mean gradient vanishes and theirs do not, and rho is infinite at
# the minimum. A batch of B windows sees 1 + (rho - 1) / B.


# %%
def growth(problem: Problem, weights: Tensor) -> float:
    """E |g_i|^2 / |grad F|^2 over windows, at least 1."""
    every = window_gradients(problem, weights)
    return float(every.square().sum(1).mean() / every.mean(0).square().sum())


def smallest_eigenvalue(problem: Problem, weights: Tensor, size: int = 80) -> float:
    """Of the Hessian, from a Krylov space of a random vector."""
    start = torch.randn(len(weights), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return float(torch.linalg.eigvalsh(krylov(curvature(problem.loss, weights), start, size)[0])[0])


Point = dict[str, float]


def race(
    problem: Problem, step: Step, weights: Tensor, levels: Sequence[float], n_seconds: float
) -> tuple[Tensor, dict[float, Point], list[Point]]:
    """Descend until the last level or the end of time; what was found at each level, and now and then on the way.

    Looking costs nothing: neither its time nor its evaluations count.
    """
    start, reached, curve, point = weights, dict[float, Point](), list[Point](), {'evaluations': 0.0, 'seconds': 0.0}
    n_steps = next_look = 0
    next_growth = 8
    while point['seconds'] < n_seconds and len(reached) < len(levels):
        before = time.process_time()
        weights, cost = step(weights)
        point = {'evaluations': point['evaluations'] + cost, 'seconds': point['seconds'] + time.process_time() - before}
        n_steps += 1
        if n_steps < next_look:
            continue
        next_look = math.ceil(1.02 * n_steps)
        loss = float(problem.loss(weights))
        if not loss < 1e3:
            break
        curve.append(point | {'steps': n_steps, 'loss': loss, 'error': problem.error(weights)})
        if n_steps >= next_growth:
            next_growth, curve[-1]['growth'] = 2 * n_steps, growth(problem, weights)
        for level in levels[len(reached) :]:
            if loss <= level:
                reached[level] = curve[-1] | looked_at(problem, weights, start)
    return weights, reached, curve


def looked_at(problem: Problem, weights: Tensor, start: Tensor) -> Point:
    """What the theory speaks of."""
    return {
        'growth': growth(problem, weights),
        'smallest': smallest_eigenvalue(problem, weights),
        'slope': float(gradient(problem.loss, weights)[0].norm()),
        'moved': float((weights - start).norm() / start.norm()),
    }


# %% [markdown]
# From 0.3 to 10 weights per equation, with noise added to the ACS (a part of its root mean square), by Adam.

# %%
RATIOS_TRAINED = (0.3, 0.5, 1.0, 1.4, 3.0, 10.0) if FULL else (0.3, 1.5)
NOISES = (0.0, 0.03, 0.1) if FULL else (0.0, 0.1)
FINER_LEVELS = (1e-1, 1e-2, 1e-3, 1e-4) if FULL else LEVELS


def width_of(ratio: float) -> int:
    """Channels of the first layer for so many weights per equation."""
    one, two = (problem_of(known, lab, width).shape.n_weights for width in (1, 2))
    return max(1, round(1 + (ratio * n_lab_equations - one) / (two - one)))


GROWTHS = ('noise', 'weights / equation', 'steps', 'end', 'growth, median', 'growth, most', 'growth, end')
GROWTHS += tuple(f'missing at {level:g}' for level in FINER_LEVELS)


def grown(noise: float, ratio: float) -> Point:
    """Train, and tell the constant below a tenth of the loss, and the error on missing lines at each level."""
    each = problem_of(known, lab, width_of(ratio), noise)
    final, reached, curve = race(each, adam(each, 3e-3), each.start(0), FINER_LEVELS, 8.0 if FULL else 0.4)
    watched = torch.tensor(
        [point['growth'] for point in curve if 'growth' in point and point['loss'] < 0.1] or [math.nan]
    )
    figures = (noise, each.per_equation, curve[-1]['steps'], curve[-1]['loss'])
    figures += (float(watched.median()), float(watched.max()), growth(each, final))
    errors = [reached[level]['error'] if level in reached else math.nan for level in FINER_LEVELS]
    return dict(zip(GROWTHS, (*figures, *errors), strict=True))


def line_of(figures: Point) -> str:
    """One line of a table in Markdown; what was not reached stays empty."""
    return '| ' + ' | '.join('' if math.isnan(figure) else f'{figure:.4g}' for figure in figures.values()) + ' |'


growth_table = ['| ' + ' | '.join(GROWTHS) + ' |', '|' + '---|' * len(GROWTHS)]
print('\n'.join(growth_table))
growths: list[Point] = []
for noise, ratio in product(NOISES, RATIOS_TRAINED):
    growths.append(grown(noise, ratio))
    growth_table.append(line_of(growths[-1]))
    print(growth_table[-1])

# %% [markdown]
# ## The race
#
# From the same starts, until the loss is a thousandth. The rates of gradient descent and of SGD are those of a grid
# that bring the loss lowest in a trial; Adam has the recipe's, and a third of it. Perturbations are so small (0.1) that
# the loss which they keep up, about rate x radius^2 / 4, lies below the last level.

# %%
N_TRIAL = 1500 if FULL else 100


def best_rate(make: Callable[..., Step], rates: Sequence[float]) -> float:
    """Of those given, the one that brings the training loss lowest in a number of steps."""
    losses = []
    for rate in rates:
        step, weights = make(problem, rate), problem.start(0)
        for _ in range(N_TRIAL):
            weights, _ = step(weights)
        loss = float(problem.loss(weights))
        losses.append(loss if math.isfinite(loss) else math.inf)
    return rates[losses.index(min(losses))]


rates = {
    'gradient descent': best_rate(descent, (0.1, 0.2, 0.3)),
    'SGD': best_rate(lambda problem, rate: stochastic(problem, rate, BATCH), (0.01, 0.02, 0.03)),
}
print('rates', rates)
OPTIMISERS: dict[str, Callable[[Problem, int], Step]] = {
    'gradient descent': lambda problem, _: descent(problem, rates['gradient descent']),
    'SGD': lambda problem, seed: stochastic(problem, rates['SGD'], BATCH, seed),
    'perturbed SGD': lambda problem, seed: stochastic(problem, rates['SGD'], BATCH, seed, 0.1),
    'cubic Newton': lambda problem, _: cubic_newton(problem),
    'Adam': lambda problem, _: adam(problem, 3e-3),
    'Adam, 1e-3': lambda problem, _: adam(problem, 1e-3),
}
N_SECONDS = 15.0 if FULL else 0.4
races: dict[str, list[dict[float, Point]]] = {}
curves_of: dict[str, list[Point]] = {}
ends: dict[str, Tensor] = {}
for name, make in OPTIMISERS.items():
    races[name] = []
    for seed in SEEDS:
        final, reached, curve = race(problem, make(problem, seed), problem.start(seed), LEVELS, N_SECONDS)
        races[name].append(reached)
        if seed == 0:
            curves_of[name], ends[name] = curve, final
TABLE = ('level', 'optimiser', 'reached', 'steps', 'evaluations', 'seconds', 'missing', 'from', 'to', 'moved')
TABLE += ('growth', 'smallest eigenvalue')


def table_row(level: float, name: str) -> str:
    """Medians over starts of those that reached a level."""
    found = [reached[level] for reached in races[name] if level in reached]
    if not found:
        return f'| {level:g} | {name} | 0 of {len(races[name])} |' + ' |' * (len(TABLE) - 3)
    middle = {key: float(torch.tensor([each[key] for each in found]).median()) for key in found[0]}
    errors = [each['error'] for each in found]
    figures = f'{middle["steps"]:.0f} | {middle["evaluations"]:.0f} | {middle["seconds"]:.2f} | '
    figures += f'{middle["error"]:.3f} | '
    figures += f'{min(errors):.3f} | {max(errors):.3f} | {middle["moved"]:.2f} | {middle["growth"]:.1f} | '
    return f'| {level:g} | {name} | {len(found)} of {len(races[name])} | {figures}{middle["smallest"]:.1e} |'


race_table = ['| ' + ' | '.join(TABLE) + ' |', '|' + '---|' * len(TABLE)]
race_table += [table_row(level, name) for level in LEVELS for name in OPTIMISERS]
print('\n'.join(race_table))


def linear_error(method: raki.Method) -> float:
    """What GRAPPA makes of the same missing samples of the same channel."""
    filled = raki.fit(method, lab, pattern).fill(lab)
    cells = known.lattice_cells(stack.receptive_field)
    found, truth = (cells.values(each)[0].real for each in (filled, lab))
    judged = problem.missing.judged
    return nrmse(found[judged], truth[judged])


linear = linear_error(PLAIN)
print(f'GRAPPA {linear:.3f}')

# %% [markdown]
# ## The saddle at zero
#
# Three layers without bias: near zero F = 1 - c(w) + O(|w|^6) with c of degree 3. The gradient falls as a^2 with the
# scale a of the weights, the Hessian as a; at zero both vanish, so zero *is* a second-order stationary point, and no
# promise to find one says anything about leaving it. What calculus predicts for small a: gradient descent takes 1 / a
# steps, not log(1 / a) as at a strict saddle; perturbed SGD as many as its noise takes to a scale of its own, whatever
# a; cubic Newton log(1 / a), since its step is in proportion to a; Adam a constant number while its epsilon is below
# the gradients.

# %%
SCALES = (1e-1, 3e-2, 1e-2, 1e-3, 1e-4) if FULL else (1e-1, 3e-2)
N_STEPS = 5_000 if FULL else 200


def left(problem: Problem, step: Step, weights: Tensor) -> Point | None:
    """Steps and evaluations until a tenth of the loss is gone; None where that takes more than N_STEPS."""
    evaluations, next_look = 0.0, 1
    for n_steps in range(1, N_STEPS + 1):
        weights, cost = step(weights)
        evaluations += cost
        if n_steps >= next_look:
            next_look = math.ceil(1.01 * n_steps)
            if float(problem.loss(weights)) < 0.9:
                return {'steps': n_steps, 'evaluations': evaluations}
    return None


escapes: dict[str, dict[float, Point | None]] = {}
escape_table = [
    '| optimiser | ' + ' | '.join(f'{scale:g}' for scale in SCALES) + ' |',
    '|' + '---|' * (1 + len(SCALES)),
]
for name, make in OPTIMISERS.items():
    escapes[name] = {scale: left(problem, make(problem, 0), problem.start(0, scale)) for scale in SCALES}
    steps = (str(round(found['steps'])) if found else '' for found in escapes[name].values())
    escape_table.append(f'| {name} | ' + ' | '.join(steps) + ' |')
print('\n'.join(escape_table))

ratios = []
for scale in SCALES[:4]:
    weights = problem.start(0, scale)
    slope, _ = gradient(problem.loss, weights)
    smallest = smallest_eigenvalue(problem, weights)
    ratios.append(-smallest / float(slope.norm()) ** 0.5)
    print(f'scale {scale:g}: gradient {float(slope.norm()):.1e}, smallest eigenvalue {smallest:.1e}, {ratios[-1]:.2f}')
assert max(ratios) < 1.05 * min(ratios)

# %% [markdown]
# The last figure is the ratio of the smallest eigenvalue, made positive, to the root of the gradient's norm, which a
# second-order stationary point bounds by the root of the Hessian's Lipschitz constant. It does not depend on the scale.
#
# ## The Hessian's spectrum

# %%
NEAR_ZERO = 1e-4  # relative to the largest


def spectrum(weights: Tensor) -> Point:
    """Extremes, and parts of eigenvalues below, around and above zero."""
    energy = torch.linalg.eigvalsh(exact_hessian(problem.loss, weights))
    limit = NEAR_ZERO * float(energy.abs().max())
    below, above = float((energy < -limit).double().mean()), float((energy > limit).double().mean())
    extremes = {'smallest': float(energy[0]), 'largest': float(energy[-1])}
    return extremes | {'negative': below, 'near zero': 1 - below - above, 'positive': above}


NAMED = ('gradient descent', 'SGD', 'cubic Newton', 'Adam')
spectra = {'start': spectrum(problem.start(0)), 'near zero, scale 0.001': spectrum(problem.start(0, 1e-3))}
spectra |= {f'end of {name}': spectrum(ends[name]) for name in (NAMED if FULL else NAMED[:1])}
for name, found in spectra.items():
    print(f'{name:24s}', {key: float(f'{value:.3g}') for key, value in found.items()})

# %% [markdown]
# ## What was found
#
# Of the full form; [the tables](results/04_optimisers.md). The laboratory's scan is a real head, 64 x 64, 16 coils
# compressed to 4, 2,960 weights on 2,088 equations, unless another number is given; missing lines are those of one
# channel.
#
# - **Random features: double descent, as the theory has it** (748 equations). Held-out ACS lines 0.71 before the
#   threshold (at 0.7 features per equation), 14.8 at it, 0.30 at 16 per equation; missing lines 0.61 (at 0.4), 9.5 and
#   0.37. That is nearly as good as GRAPPA on the missing lines (0.36), by 12,000 weights for 748 equations and without
#   any ridge; a ridge removes the peak and gains nothing at the far end.
# - **Trained networks: no second descent.** At equal training loss more weights are worse, not better: at a loss of
#   0.01 the error on missing lines is 1.01 at 0.3 weights per equation, 1.02 at 1.0 and 1.4, 1.42 at 3 and at 10; noise
#   in the ACS moves it less than width does. There is no peak at the threshold either.
# - **Interpolating is no way to an image here.** Fitted to a thousandth of the ACS's energy, these networks miss 0.80
#   to 1.07 of the missing lines, automatic GRAPPA 0.35 from the same ACS. Four coils at R = 4 and 20 ACS lines starve
#   them.
# - **At equal loss, optimisers are mostly cost.** At a loss of 0.01: gradient descent 0.91, SGD 0.92, perturbed SGD
#   0.94, Adam 1.00 (medians of three starts). One optimiser's starts differ by more (0.85 to 1.10), so the order of
#   these four means little. The exception is cubic Newton: 1.15, in two of three starts the worst by 0.2 or more. It
#   ends at the sharpest place as well: largest eigenvalue 68 (of one start), Adam 27, SGD 12, gradient descent 7.4,
#   which is the 2 / rate where descent becomes unstable (6.7).
# - **Strong growth holds, with a poor constant.** Along gradient descent rho stays between 200 and 400 from a loss of
#   0.1 to 0.001: one constant, as the theory wants, but with 696 windows no small one. A batch of 32 then sees 1 + 270
#   / 32, about 9: SGD needs a tenth of the rate, and that is what the trials chose (0.03 against 0.3, each the largest
#   of its grid). Along Adam it says little: 200 to 24,000, as the mean gradient oscillates through zero.
# - **Over-parametrisation bounds it, but early.** Where Adam ends, rho is 677 at 0.3 weights per equation, 254 at 0.5,
#   208 at 1.0, 189 at 1.4, 173 at 3 and 372 at 10; with noise of 0.03 it is 925 and then 134 to 294, with noise of 0.1
#   7,165 and then 198 to 296. So it is larger, and grows with noise, where windows cannot all be fitted, as the theory
#   has it; but from half as many weights as equations on nothing changes, and no step shows at the threshold.
# - **Stochastic gradients: fewer evaluations, more time.** To a loss of 0.01 gradient descent takes 1,093 gradients of
#   the whole ACS, SGD 259, perturbed SGD 185: no more than the deterministic method, as Roy et al. prove for its order.
#   But small products are slow: 3.0 and 2.6 s against 0.8 s. Adam takes 330 and 0.3 s, and is the only one that brings
#   all starts to a thousandth within 15 s (1.4 s).
# - **Cubic Newton's rate fails.** Few steps (34 to a loss of 0.01), but 2,089 gradients and 1.2 s, and only one start
#   of three gets below 0.003. Its proof needs a Lipschitz Hessian, which ReLU does not have; and steps are from Krylov
#   spaces of 30 vectors, which may cost it as much.
# - **Zero is left as calculus predicts.** Gradient descent takes 38, 387 and 3,844 steps from scales of 0.1, 0.01 and
#   0.001: 1 / a. SGD too. Perturbed SGD takes 3,237 steps from 0.001 and from 0.0001: its own noise decides. Cubic
#   Newton takes 2 to 4, in keeping with a slow logarithm, Adam 11 to 14 at every scale. The theory's promise of a
#   second-order stationary point is empty here: the ratio that would tell such a point is 1.54 at every scale, and zero
#   itself is one.
# - **The spectrum.** At the start 13 % of eigenvalues are negative and 57 % near zero; near the saddle it is symmetric
#   (13, 73 and 13 %), as that of a form of degree 3 must be; in the end 0 to 5 % are negative, the smallest -0.003 to
#   -0.14 % of the largest, and 60 to 78 % are near zero, twice and more the 29 % that counting equations makes flat.
#
# Time is limited to 15 s, so what was not reached may only be slow. One scan, one channel, three starts.

# %%
plt.rcParams |= {'svg.fonttype': 'none', 'svg.hashsalt': 'raki'}
figure, panels = plt.subplots(2, 3, figsize=(12, 7), layout='constrained')
for panel, (title, curve) in zip(panels[0], curves.items(), strict=False):
    for kind in ('fitted', 'held out', 'missing'):
        panel.loglog(list(curve), [max(found[kind], 1e-3) for found in curve.values()], 'o-', label=kind, markersize=3)
    panel.axvline(1, color='grey', linewidth=0.8)
    panel.set(title=title, xlabel='features / equations', ylim=(8e-4, 50))
panels[0, 0].set(ylabel='NRMSE')
panels[0, 0].legend(loc='upper left', fontsize='small')
for noise in NOISES:
    found = [(each[GROWTHS[1]], each[GROWTHS[4]]) for each in growths if each['noise'] == noise]
    panels[0, 2].loglog(*zip(*found, strict=True), 'o-', label=f'noise {noise:g}')
panels[0, 2].set(title='strong growth, median below a loss of 0.1', xlabel='weights / equations')
panels[0, 2].legend(fontsize='small')
for name, curve in curves_of.items():
    points = [each for each in curve if each['loss'] < 1]
    for panel, key in ((panels[1, 0], 'error'), (panels[1, 1], 'evaluations')):
        panel.semilogx([each['loss'] for each in points], [each[key] for each in points], label=name, linewidth=1)
    steps = [(scale, found['steps']) for scale, found in escapes[name].items() if found]
    panels[1, 2].loglog(*zip(*steps, strict=True), 'o-', markersize=3, label=name)
panels[1, 0].axhline(linear, color='grey', linestyle=':', linewidth=1, label='GRAPPA')
panels[1, 0].set(title='at equal loss', xlabel='training loss', ylabel='NRMSE of missing lines')
panels[1, 1].set(title='what it costs', xlabel='training loss', ylabel='gradients of the whole ACS', yscale='log')
panels[1, 2].set(title='leaving zero', xlabel='scale of the start', ylabel='steps')
panels[1, 0].legend(fontsize='small')

if RESULTS is not None:
    folder = Path(RESULTS)
    figure.savefig(folder / '04_overparametrisation.svg', metadata={'Date': None})
    machine = {'processor': platform.processor() or platform.machine(), 'threads': torch.get_num_threads()}
    settings = {'equations': n_equations, 'seeds': len(SEEDS), 'matrix': kspace.shape[1:]}
    setting = {'weights': problem.shape.n_weights, 'equations': n_lab_equations, 'windows': problem.n_windows}
    setting |= {'width': WIDTH, 'acs': N_LAB_ACS, 'batch': BATCH, 'rates': rates, 'matrix': lab.shape}
    content = {
        'versions': versions(),
        'machine': machine | {'cpu_seconds': round(time.process_time())},
        'features': {'settings': settings, 'curves': curves},
        'laboratory': setting | {'grappa': linear},
        'growth': [{key: None if math.isnan(value) else value for key, value in each.items()} for each in growths],
        'races': races,
        'escapes': escapes,
        'spectra': spectra,
    }
    (folder / '04_overparametrisation.json').write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    page = [
        '# Over-parametrisation: the optimisers',
        'Made by `RAKI_RESULTS=notebooks/results RAKI_SCAN=iraki_prescan16.h5 python '
        f'notebooks/04_overparametrisation.py`, {time.process_time() / 60:.0f} CPU minutes of one thread. The relative '
        f'training loss of {setting["weights"]} weights on {setting["equations"]} equations; medians over {len(SEEDS)} '
        'starts of those that reached it within 15 s; evaluations are gradients of the whole ACS; `missing` is the '
        f'NRMSE of missing lines ({linear:.3f} by GRAPPA), `moved` the way from the start relative to the norm there.',
        '\n'.join(race_table),
        '## Strong growth',
        'Adam at 3e-3 for 8 s at most; the constant at steps 8, 16, 32, ..., where the loss is below 0.1. '
        'Noise is added to the ACS, in parts of its root mean square.',
        '\n'.join(growth_table),
        '## Steps to leave zero',
        f'Until a tenth of the loss is gone; empty after {N_STEPS} steps.',
        '\n'.join(escape_table),
    ]
    (folder / '04_optimisers.md').write_text('\n\n'.join(page) + '\n', encoding='utf-8')
