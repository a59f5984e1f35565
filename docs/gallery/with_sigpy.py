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
# # With sigpy
#
# [sigpy](https://sigpy.readthedocs.io) and raki agree on nearly everything, so arrays
# go to and fro as they are.
#
# | | raki | sigpy |
# |---|---|---|
# | arrays | torch or NumPy | NumPy or CuPy |
# | k-space | (coil, ky, kx), or with a first axis of slices, missing lines zero | (coil, ky, kx), missing lines zero |
# | what was measured | `mask`, axes (ky,), or samples that are not zero | `weights`, axes (ky, kx), or samples that are not zero |
# | Fourier transform | centred, zero frequency at n//2, orthonormal | the same: `sigpy.ifft(kspace, axes=(-2, -1))` |
# | noise covariance | mean over samples | `sigpy.mri.util.get_cov`: sum over samples |
#
# ## To sigpy

# %%
from dataclasses import replace

import numpy as np
import sigpy
import torch
from sigpy.mri import app, util

import raki
from raki.fourier import image_from_kspace
from scene import error_in_object, panels, simulated

full, reference, truth = simulated()
sampling = raki.undersample(full.mask, rate=(3,), acs=(24,))
scan = replace(full, mask=sampling.mask)

# axes (coil, ky, kx)
kspace = torch.where(scan.mask[:, None], scan.kspace[0], 0).numpy()
ours = image_from_kspace(scan.kspace[0]).numpy()
theirs = sigpy.ifft(scan.kspace[0].numpy(), axes=(-2, -1))
np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(ours).max())

maps = app.EspiritCalib(kspace, crop=0.8, show_pbar=False).run()
weights = np.ones(kspace.shape[1:], np.float32) * scan.mask.numpy()[:, None]
sense = app.SenseRecon(kspace, maps, lamda=1e-3, weights=weights, show_pbar=False).run()

# %% [markdown]
# Filled k-space needs no weights: from here on it is a fully sampled scan to sigpy.

# %%
result = raki.reconstruct(scan, 'gated')
filled = result.kspace[0]
maps = app.EspiritCalib(filled, crop=0, show_pbar=False).run()
combined = (maps.conj() * sigpy.ifft(filled, axes=(-2, -1))).sum(0)
images = {
    'truth': truth,
    'SENSE by sigpy': np.abs(sense),
    'gated': result.image[0],
    'gated, combined by sigpy': np.abs(combined),
}
panels(images)
for name, image in images.items():
    print(f'{name:26s} error in the object {error_in_object(image, truth):.3f}')

# %% [markdown]
# SENSE is regularised by `lamda` here, one value that was not tuned; `raki compare
# --methods espirit l1-wavelet` runs sigpy with strengths that follow from the noise of
# the scan, and judges it as it judges its own methods.
#
# ## From sigpy
#
# Arrays go in as they are. Without a mask, lines of zeros were not measured.

# %%
back = raki.scan_of(kspace)
assert torch.equal(back.mask, scan.mask)
print(raki.reconstruct(kspace, 'gated').image.shape)

# %% [markdown]
# ## Noise samples
#
# `get_cov` sums over samples, so divide by their number. It also takes the mean off *in
# place*: give it a copy.

# %%
n_samples = scan.noise.shape[1]
covariance = util.get_cov(scan.noise.numpy().copy()) / (n_samples - 1)
whitened = util.whiten(scan.noise.numpy(), covariance)
np.testing.assert_allclose(np.cov(whitened), np.eye(scan.n_coils), atol=1e-4)

# %% [markdown]
# Give raki k-space as it was measured and the noise samples beside it,
# `raki.scan_of(kspace, noise=...)`: it whitens by itself, and gives images back in the units of the scan.
# k-space that sigpy has whitened has no such units any more.

# %% tags=["remove-cell"]
sample = scan.noise.numpy().copy() + 1
util.get_cov(sample)
assert abs(sample.mean()) < 1e-5
assert error_in_object(images['gated, combined by sigpy'], truth) < 0.05
