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
import dataclasses
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import torch

import raki
from raki.coils.combine import root_sum_of_squares
from raki.data.save import write_scan
from raki.evaluation.metrics import nrmse_object
from raki.fourier import image_from_kspace
from raki.networks.training import Recipe

full = raki.simulate(raki.Simulation(matrix=(96, 80), n_coils=8, seed=1))
sampling = raki.undersample(full.mask, acceleration=3, n_acs=24)
scan = dataclasses.replace(full, mask=sampling.mask)
print(f'R = {sampling.acceleration}, R_net = {sampling.net_acceleration:.2f}, ACS lines {sampling.acs}')

# %% [markdown]
# ## The short way
#
# 300 iterations instead of the paper's 1000 keep this short.

# %%
short_raki = dataclasses.replace(raki.RAKI_2019, recipe=Recipe(n_iterations=300, learning_rate=3e-3))
methods = {'zero-filled': None, 'GRAPPA': raki.Grappa(), 'RAKI 2019': short_raki}
images = {name: raki.reconstruct(scan, method).image[0] for name, method in methods.items()}

assert full.reference is not None
truth = root_sum_of_squares(image_from_kspace(full.reference[0]))
for name, image in images.items():
    print(f'{name:12s} NRMSE in the object {nrmse_object(image, truth):.4f}')

figure, panels = plt.subplots(2, len(images), figsize=(9, 7), layout='constrained')
for (top, bottom), (name, image) in zip(panels.T, images.items(), strict=True):
    top.imshow(image.numpy(), cmap='gray', vmin=0, vmax=float(truth.max()))
    bottom.imshow((image - truth).abs().numpy(), cmap='gray', vmin=0, vmax=0.2 * float(truth.max()))
    top.set(title=name, xticks=[], yticks=[])
    bottom.set(xlabel='|error| x 5', xticks=[], yticks=[])

# %% [markdown]
# ## By hand
#
# Cut out the ACS, whiten the coils by the noise samples, learn, fill in, transform, combine.

# %%
kspace = scan.kspace[0]
acs = kspace[:, sampling.acs.start : sampling.acs.stop]
transform = raki.coil_transform(acs, scan.noise)
interpolator = raki.fit(raki.Grappa(), acs, sampling, kspace, transform=transform)
filled = interpolator.fill(kspace)
by_hand = root_sum_of_squares(image_from_kspace(filled))

# %% [markdown]
# ## Both agree, and measured samples are untouched

# %%
assert torch.equal(by_hand, images['GRAPPA'])
assert torch.equal(filled[:, sampling.mask], kspace[:, sampling.mask])
assert nrmse_object(images['GRAPPA'], truth) < 0.5 * nrmse_object(images['zero-filled'], truth)
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
result = raki.reconstruct(own, raki.Grappa())
print(f'{own.n_slices} slice(s), {own.n_coils} coils, matrix {tuple(own.kspace.shape[2:])}')
print('images', tuple(result.image.shape))
print('warnings:', [interpolator.warnings for interpolator in result.interpolators])
assert torch.equal(result.kspace[:, :, own.mask], own.kspace[:, :, own.mask])
