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
# # Quickstart: from k-space to a judged image
#
# First the short way, then the same by hand, then the proof that both agree. Open it in Jupyter with jupytext, or run
# it as a script. It starts with a simulated scan, whose truth is known, and ends with your own: `RAKI_SCAN=scan.h5
# python notebooks/01_quickstart.py`.

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
import os
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import torch

import raki
from raki.coils.combine import root_sum_of_squares
from raki.data.save import write_scan
from raki.evaluation.metrics import nrmse_object
from raki.fourier import image_from_kspace

full = raki.simulate(raki.Simulation(matrix=(96, 80), n_coils=8, seed=1))
sampling = raki.undersample(full.mask, rate=(3,), acs=(24,))
scan = dataclasses.replace(full, mask=sampling.mask)
print(f'R = {sampling.acceleration}, R_net = {sampling.net_acceleration:.2f}, ACS lines {sampling.acs[0]}')

# %% [markdown]
# ## The short way
#
# A method is a name or a value. 300 iterations instead of the paper's 1000 keep this short. Images are (y, x), phase
# encode and readout; files of fastMRI's layout show the readout vertically, and so does this.

# %%
methods: dict[str, raki.Method | str] = {
    'zero-filled': 'zero-filled',
    'GRAPPA': 'grappa',
    'gated': 'gated',
    'RAKI': raki.RAKI_2019.with_iterations(300),
}
images = {name: raki.reconstruct(scan, method).image[0] for name, method in methods.items()}

assert full.reference is not None
truth = root_sum_of_squares(image_from_kspace(full.reference[0]))
for name, image in images.items():
    print(f'{name:12s} NRMSE in the object {nrmse_object(torch.from_numpy(image), truth):.4f}')

figure, panels = plt.subplots(2, len(images), figsize=(11, 7), layout='constrained')
for (top, bottom), (name, image) in zip(panels.T, images.items(), strict=True):
    top.imshow(image.T, cmap='gray', vmin=0, vmax=float(truth.max()))
    bottom.imshow(abs(image - truth.numpy()).T, cmap='gray', vmin=0, vmax=0.2 * float(truth.max()))
    top.set(title=name, xticks=[], yticks=[])
    bottom.set(xlabel='|error| x 5', xticks=[], yticks=[])

# %% [markdown]
# ## By hand
#
# Cut out the ACS, whiten the coils by the noise samples, learn, fill in, transform, combine.

# %%
kspace = scan.kspace[0]
transform = raki.coil_transform(sampling.acs_block(kspace), scan.noise)
interpolator = raki.fit(raki.Grappa(), kspace, sampling, transform=transform)
filled = interpolator.fill(kspace)
by_hand = root_sum_of_squares(image_from_kspace(filled))

# %% [markdown]
# ## Both agree, and measured samples are untouched

# %%
assert np.array_equal(by_hand.numpy(), images['GRAPPA'])
assert torch.equal(filled[:, sampling.mask], kspace[:, sampling.mask])
errors = {name: nrmse_object(torch.from_numpy(image), truth) for name, image in images.items()}
assert errors['GRAPPA'] < 0.5 * errors['zero-filled']
print('the short way and the long way agree bit for bit')

# %% [markdown]
# ## Your own scan
#
# From a file all is the same: `load_scan` recognises the format by the content. Here the file is a simulated one
# unless RAKI_SCAN names yours. `raki info` tells the same at the command line, and what stands in the way.

# %%
with TemporaryDirectory() as folder:
    simulated = Path(folder, 'simulated.h5')
    write_scan(simulated, scan, {'source': 'the quickstart'})
    own = raki.load_scan(os.environ.get('RAKI_SCAN', simulated))
result = raki.reconstruct(own, 'grappa')
print(f'{own.n_slabs} slice(s), {own.n_coils} coils, matrix {tuple(own.kspace.shape[2:])}')
print('images', tuple(result.image.shape))
print('warnings:', result.warnings or 'none')
if own.n_phase_axes == 1:
    assert np.array_equal(result.kspace[:, :, own.mask], own.kspace[:, :, own.mask])

# %% [markdown]
# ## A volume with two accelerated axes
#
# The same calls: a lattice has two spacings then, and a CAIPI shift; every method learns on it.

# %%
volume = raki.simulate(raki.Simulation(matrix=(16, 32, 24), n_coils=8, noise=0.002, seed=1))
lattice = raki.undersample(volume.mask, rate=(2, 2), acs=(8, 16), shift=1)
partitions = raki.reconstruct(dataclasses.replace(volume, mask=lattice.mask), 'gated').image
print(f'{lattice.lattice}: images {tuple(partitions.shape)}')
assert partitions.shape == (16, 32, 24)
