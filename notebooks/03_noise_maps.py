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
# # Noise maps: four ways to the same map, and where a nonlinear method departs
#
# How much noise is in a pixel of a reconstruction? For a linear method there is one answer, and four ways lead to it:
# exactly from the weights; by pseudo replicas; by derivatives; and, on a matrix as small as this one, by hand from
# the reconstruction of every single sample. A network has no single answer: its noise depends on the image, and on
# how much noise there is.

# %%
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec('raki') is None:  # on Colab, where the wheel that `pip wheel --no-deps .` makes was uploaded before
    wheels = list(map(str, Path().glob('raki-*.whl')))
    if not wheels:
        raise SystemExit('Upload the wheel of raki here first: raki-VERSION-py3-none-any.whl, then run this again.')
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', *wheels, 'matplotlib'], check=True)

# %%
import dataclasses

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import raki
from raki.coils.combine import matched_weights, root_sum_of_squares
from raki.coils.noise import noise_covariance, noise_factor
from raki.evaluation.metrics import object_mask
from raki.evaluation.noise_maps import NoiseMap, analytic_noise_map, jvp_noise_map, replica_noise_map
from raki.fourier import image_from_kspace
from raki.networks.training import Recipe

RATE, N = 3, 400
full = raki.simulate(raki.Simulation(matrix=(48, 40), n_coils=4, noise=0.02, seed=3))
sampling = raki.undersample(full.mask, (RATE,), (16,))
assert full.noise is not None
assert full.reference is not None
covariance = noise_covariance(full.noise)
kspace = torch.where(sampling.mask[:, None], full.kspace[0], 0)
inside = object_mask(root_sum_of_squares(image_from_kspace(full.reference[0])))

# %% [markdown]
# ## The short way
#
# GRAPPA's map exactly, by replicas and by derivatives. `std` is the standard deviation of the part in phase with the
# signal.

# %%
grappa = raki.fit('grappa', kspace, sampling)
weights = matched_weights(image_from_kspace(grappa.fill(kspace))).conj()
maps: dict[str, Tensor] = {
    'exact': analytic_noise_map(grappa, covariance, weights).std,
    'replicas': replica_noise_map(grappa.fill, kspace, sampling, covariance, n_replicas=N).std,
    'derivatives': jvp_noise_map(grappa, kspace, covariance, n_probes=N).std,
}

# %% [markdown]
# ## By hand
#
# Change one measured sample by the noise of one direction of the coils, fill in, transform, combine: that is a column
# of the matrix from noise to image. The variance is the sum of squares of all columns, of noise in the real and in
# the imaginary part, half of the power each. Of a linear method the derivative is the method itself; of a network it
# is `derivative(kspace).fill`, the network with every unit's slope held.


# %%
def by_hand(interpolator: raki.Interpolator) -> Tensor:
    """Standard deviation of the part in phase with the signal, axes (y, x), from every column of the matrix."""
    push = interpolator.derivative(kspace).fill
    combine = matched_weights(image_from_kspace(interpolator.fill(kspace))).conj()
    variance = torch.zeros(kspace.shape[1:])
    for direction in noise_factor(covariance).mT:
        for line in sampling.mask.nonzero().flatten().tolist():
            for sample in range(kspace.shape[-1]):
                for phase in (1, 1j):
                    change = torch.zeros_like(kspace)
                    change[:, line, sample] = phase * direction
                    variance += (combine * image_from_kspace(push(change))).sum(0).real.square() / 2
    return variance.sqrt()


maps['by hand'] = by_hand(grappa)

# %% [markdown]
# ## All four agree
#
# The first and the last to rounding, the other two within the scatter of K draws: 1 / sqrt(2 (K - 1)) of replicas, 1
# / sqrt(2 K) of probes, here 3.5 %. Its median over pixels is 0.67 of that.


# %%
def departure(std: Tensor, truth: Tensor) -> float:
    """Median over the object of |std / truth - 1|."""
    return float(((std / truth)[inside] - 1).abs().median())


scatter = (2 * N) ** -0.5
for name in ('exact', 'replicas', 'derivatives'):
    print(f'{name:12s} against by hand: {departure(maps[name], maps["by hand"]):.1e}')
assert departure(maps['exact'], maps['by hand']) < 1e-4
for name in ('replicas', 'derivatives'):
    assert 0.3 * scatter < departure(maps[name], maps['by hand']) < scatter
print('all four ways agree')

figure, panels = plt.subplots(1, 4, figsize=(10, 3), layout='constrained')
for panel, (name, std) in zip(panels, maps.items(), strict=True):
    panel.imshow(std.numpy(), vmin=0, vmax=float(maps['exact'].max()), cmap='viridis')
    panel.set(title=name, xticks=[], yticks=[])

# %% [markdown]
# ## Where a nonlinear method departs
#
# The same complex network, once with slope 1, which makes it linear, and once with slope 0.5; and the paper's ReLU
# networks. Replicas with more and more noise, in units of the scan's: where noise is small, or the network linear,
# the derivative predicts their spread. Where noise changes which units are active it does not, and the mean of the
# replicas moves away from the image without added noise: a bias, which no linear method has.

# %%
leaky = dataclasses.replace(raki.RAKI_COMPLEX, widths=(32, 16), recipe=Recipe(n_iterations=200, learning_rate=3e-3))
networks = {
    'linear network': dataclasses.replace(leaky, slope=1.0),
    'leaky network': leaky,
    'raki': dataclasses.replace(raki.RAKI_2019, recipe=Recipe(n_iterations=200, learning_rate=3e-3)),
}
FACTORS = (0.01, 1, 4, 16)


def of_noise(fitted: raki.Interpolator, factor: float) -> NoiseMap:
    """Replicas with so many times the scan's noise."""
    return replica_noise_map(fitted.fill, kspace, sampling, factor**2 * covariance, n_replicas=N)


def rms(values: Tensor) -> float:
    """Root mean square over the object."""
    return float(values[inside].square().mean().sqrt())


found: dict[tuple[str, float], tuple[float, float, float]] = {}
print('method          noise x   std / derivative   departure   bias / std')
for name, method in networks.items():
    fitted = raki.fit(method, kspace, sampling)
    small = jvp_noise_map(fitted, kspace, covariance, n_probes=N, seed=1).std
    for factor in FACTORS:
        noisy = of_noise(fitted, factor)
        assert noisy.bias is not None
        std, bias = noisy.std / factor, noisy.bias / factor
        debiased = max(0.0, rms(bias) ** 2 - rms(std) ** 2 / N) ** 0.5  # less what the scatter of the mean would give
        ratio, price = rms(std) / rms(small), debiased / rms(std)
        found[name, factor] = ratio, departure(std, small), price
        print(f'{name:15s} {factor:6g} {ratio:14.3f} {departure(std, small):14.3f} {price:12.3f}')

# %% [markdown]
# Two independent maps of K draws each differ by sqrt(2) of the scatter; that is what "agree" means here. The linear
# network agrees at every noise and has no bias. The others agree where noise is small. At the scan's own noise the
# leaky network already passes on 9 % less noise than its derivative says, and the mean of its replicas is off by 16 %
# of their spread; `raki` departs by less than 1 % and 4 %.

# %%
for factor in FACTORS:
    assert found['linear network', factor][1] < 1.4 * scatter
    assert found['linear network', factor][2] < 0.05
for name in ('leaky network', 'raki'):
    assert found[name, 0.01][1] < 1.4 * scatter
    assert found[name, 16][2] > 2 * found['linear network', 16][2]
print('networks agree with their derivative where noise is small, and depart from it where it is not')
