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
# # A band of noise
#
# **You see** grain that is coarser in the middle of the object than at its rim, with
# edges where the object would lie over itself R times. Air is calm.
#
# **It means** that the coils can hardly tell apart what lies over each other there.
# Missing lines are then differences of large numbers, and the noise of measured lines
# is multiplied by the *g-factor*. Here R = 4 with 8 coils, and more noise than usual;
# pictures show the middle.

# %%
from dataclasses import replace

import torch

import raki
from raki.coils.noise import noise_covariance
from raki.evaluation.fidelity import point_response
from raki.evaluation.metrics import nrmse_object, object_mask
from raki.evaluation.noise_maps import replica_noise_map
from scene import panels, simulated, thumbnail

full, reference, truth = simulated(noise=0.01)
inside = object_mask(truth)
sampling = raki.undersample(full.mask, rate=(4,), acs=(24,))
scan = replace(full, mask=sampling.mask)
methods = {
    'plain GRAPPA': raki.Grappa(calibration='measured'),
    'gated': 'gated',
    'sparse': 'sparse',
}
results = {name: raki.reconstruct(scan, method) for name, method in methods.items()}
MIDDLE = slice(40, 120), slice(30, 98)
images = {'truth': truth} | {
    name: result.reconstruction.image[0] for name, result in results.items()
}
panels({name: image[MIDDLE] for name, image in images.items()})

# %% tags=["remove-cell"]
thumbnail(
    'noise_band',
    results['plain GRAPPA'].reconstruction.image[0][30:130, 24:104],
    0.9 * float(truth.max()),
)

# %% [markdown]
# ## How raki tells
#
# By the map of g-factors: how much noisier a pixel is than the number of measured lines
# alone explains. `raki compare` draws it for every method, `raki reconstruct --gfactor`
# writes it beside the image.

# %%
kspace, covariance = scan.kspace[0], noise_covariance(scan.noise)
fills = {name: result.interpolators[0].fill for name, result in results.items()}
gfactors = {
    name: replica_noise_map(fill, kspace, sampling, covariance, n_replicas=12).gfactor
    for name, fill in fills.items()
}
panels(
    {f'g, {name}': torch.where(inside, g, 0) for name, g in gfactors.items()},
    peak=4.0,
    colours='inferno',
)

# %% [markdown]
# ## What to do
#
# Take a lower rate where there is time for it: g-factors grow fast with R. Otherwise
# take a method that knows more than GRAPPA, and **read its price beside its noise**:
# what is smoothed away is calm, too. `small points` is the height that comes back of
# points of one pixel: 1 is faithful, 0 is what zero filling gives.

# %%
print(f'{"":14s}{"error":>8s}{"mean g":>8s}{"small points":>14s}')
for name, result in results.items():
    truths = reference, inside, sampling.mask
    points = point_response(
        fills[name], kspace, result.reconstruction.kspace[0], *truths
    ).retained.mean()
    error, g = (
        nrmse_object(result.reconstruction.image[0], truth),
        gfactors[name][inside].mean(),
    )
    print(f'{name:14s}{error:8.3f}{g:8.2f}{points:14.2f}')

# %% [markdown]
# `gated` is the default. Take `sparse` where larger structures under noise are what
# matters, and keep the points in sight: `--faithful 0.9` bounds what it may take from
# them. [Which method when](which_method.py) has this for real scans.

# %% tags=["remove-cell"]
errors = [
    nrmse_object(result.reconstruction.image[0], truth) for result in results.values()
]
assert errors == sorted(errors, reverse=True)
