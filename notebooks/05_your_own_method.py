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
# # Your own method, in twenty lines
#
# GRAPPA and RAKI differ only in the map that they learn from measured neighbours to missing samples. A new method is
# a frozen dataclass that says how large its neighbourhood is and learns the map. Geometry, edges of k-space, data
# consistency, volumes, noise maps, comparison and report come with it. Here: GRAPPA by a pseudo-inverse that leaves
# out weak directions of the ACS, instead of a ridge.

# %%
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec('raki') is None:  # on Colab, where the wheel that `pip wheel --no-deps .` makes was uploaded before
    wheels = list(map(str, Path().glob('raki-*.whl')))
    if not wheels:
        raise SystemExit('Upload the wheel of raki here first: raki-VERSION-py3-none-any.whl, then run this again.')
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', *wheels], check=True)

# %%
import dataclasses

import torch

import raki
from raki.coils.combine import matched_weights
from raki.coils.noise import noise_covariance
from raki.evaluation.compare import Bench, compare_slab
from raki.evaluation.noise_maps import analytic_noise_map
from raki.evaluation.plan import Plan, Rate
from raki.fourier import image_from_kspace
from raki.interpolation.calibration import Calibration, Learnt, Progress
from raki.interpolation.least_squares import LinearMap
from raki.interpolation.neighbours import Neighbourhood


# %%
@dataclasses.dataclass(frozen=True, slots=True)
class TruncatedSvd:
    """The linear map from those directions of the ACS that are strong enough."""

    kernel: raki.Kernel = raki.Kernel(lines=4, readout=5)
    """Acquired lines x readout samples."""

    threshold: float = 1e-3
    """Directions with less energy than this part of the strongest are left out [1]."""

    def smallest(self, calibration: Calibration) -> Neighbourhood:
        return calibration.neighbourhood(self.kernel)

    def learn(self, calibration: Calibration, progress: Progress) -> Learnt:
        around = self.smallest(calibration)
        equations = calibration.normal_equations(around)
        energies, directions = torch.linalg.eigh(equations.gram)
        strong = energies > self.threshold * energies[-1]
        basis = directions[:, strong]
        weights = basis @ (basis.mH @ equations.cross / energies[strong, None])
        progress(1, 1)
        patch_map = LinearMap(weights.to(torch.complex64))
        return Learnt(patch_map, around, self.threshold, equations.n_equations, int(strong.sum()))


# %% [markdown]
# ## The short way
#
# It is used as every other method is. (To have it at the command line, add it to `METHODS` in
# `raki/commands/catalogue.py`; to have it tested as every other method is, add it to `tests/toys.py`.)

# %%
RATE = 3
full = raki.simulate(raki.Simulation(matrix=(72, 60), n_coils=6, seed=2))
sampling = raki.undersample(full.mask, (RATE,), (24,))
scan = dataclasses.replace(full, mask=sampling.mask, noise=None)
result = raki.reconstruct(scan, TruncatedSvd())
print('image', tuple(result.image.shape), '| warnings:', result.warnings or 'none')

# %% [markdown]
# ## Everything else comes with it
#
# A comparison with error, noise, bias and ghosts, as `raki compare` prints it, and the guard: at R = 4 the first of the
# truncated maps would do more harm than good, which the scan's own lines tell, so that nothing is filled in ...

# %%
methods = {'GRAPPA': raki.Grappa(), 'truncated': TruncatedSvd(), 'truncated less': TruncatedSvd(threshold=1e-5)}
bench = Bench(full, 0, Plan(methods, [Rate((rate,)) for rate in (2, RATE, 4)], n_replicas=20))
print('R  method            NRMSE object, noise, mean g, points retained')
for cell in compare_slab(bench, lambda _: lambda _done, _total: None):
    row = cell.row.flat()
    names = 'nrmse_object', 'noise_std', 'gfactor_mean', 'point_peak'
    figures = ('     –' if row[name] is None else f'{row[name]:6.4f}' for name in names)
    print(f'{row["rate"]}  {row["method"]:15s}', *figures, sep='   ')

# %% [markdown]
# ... volumes with two accelerated axes, whose neighbourhoods it need not know of ...

# %%
volume = raki.simulate(raki.Simulation(matrix=(12, 32, 24), n_coils=8, seed=2))
lattice = raki.undersample(volume.mask, (2, 2), (8, 16), shift=1)
of_volume = raki.reconstruct(dataclasses.replace(volume, mask=lattice.mask), TruncatedSvd(raki.Kernel(2, 5)))
print(f'{lattice.lattice}: images', tuple(of_volume.image.shape))

# %% [markdown]
# ... and, because the map is a `LinearMap`, the exact noise map without replicas.

# %%
interpolator = result.interpolators[0]
weights = matched_weights(image_from_kspace(result.reconstruction.kspace[0])).conj()
assert full.noise is not None
exact = analytic_noise_map(interpolator, noise_covariance(full.noise), weights)
print(f'mean g-factor, exactly: {float(exact.gfactor.mean()):.3f}')

# %% [markdown]
# ## By hand
#
# With nothing but loops and a pseudo-inverse: cut out every patch of the ACS, solve, and apply the weights between
# measured lines. A patch is 4 lines, R apart, times 5 samples of all coils; the targets are the R - 1 lines between
# the second and the third.

# %%
kspace = scan.kspace[0].to(torch.complex128)
acs = sampling.acs_block(kspace)
reach, n_readout = 3 * RATE, kspace.shape[-1]
sources, targets = [], []
for line in range(acs.shape[1] - reach):
    for sample in range(n_readout - 4):
        sources.append(acs[:, line : line + reach + 1 : RATE, sample : sample + 5].flatten())
        targets.append(acs[:, line + RATE + 1 : line + 2 * RATE, sample + 2].flatten())
svd_threshold = TruncatedSvd().threshold ** 0.5  # of singular values, whose squares are energies
solution = torch.linalg.pinv(torch.stack(sources), rtol=svd_threshold) @ torch.stack(targets)

by_hand = torch.where(sampling.mask[:, None], kspace, 0)
inside = torch.zeros(kspace.shape[1:], dtype=torch.bool)
for line in range(sampling.lattice.first[0], kspace.shape[1] - reach, RATE):
    for sample in range(n_readout - 4):
        patch = kspace[:, line : line + reach + 1 : RATE, sample : sample + 5].flatten()
        gap = slice(line + RATE + 1, line + 2 * RATE)
        by_hand[:, gap, sample + 2] = (patch @ solution).unflatten(0, (len(kspace), -1))
        inside[gap, sample + 2] = True
inside &= ~sampling.mask[:, None]
by_hand = torch.where(sampling.mask[:, None], kspace, by_hand)

# %% [markdown]
# ## Both agree
#
# Measured samples are those of the scan bit for bit, and so far from the edges that no neighbour is missing, the
# loops and the library fill in the same. At the edges the library had kernels of those neighbours that exist; the
# loops left zeros there.

# %%
filled = result.reconstruction.kspace[0]
assert torch.equal(filled[:, sampling.mask], scan.kspace[0][:, sampling.mask])
difference = (filled - by_hand)[:, inside].norm() / by_hand[:, inside].norm()
assert difference < 1e-4, difference
print(f'the short way and the long way agree: they differ by {float(difference):.0e} on {int(inside.sum())} positions')
