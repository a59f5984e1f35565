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
# # Dark lines, or a dark image
#
# **You see** dark or bright bands across the object, shading that no coil explains, or
# an image that is dark and blurred as a whole.
#
# **It means** that signal is missing: samples that were measured arrived as zeros, or
# missing lines were not filled in. Here four of eight coils lost nine lines at the
# centre of k-space on the way to the file.

# %%
from dataclasses import replace

import torch

import raki
from raki.evaluation.metrics import energy_ratio
from scene import error_in_object, panels, simulated, thumbnail

full, reference, truth = simulated()
sampling = raki.undersample(full.mask, rate=(3,), acs=(24,))
kspace = full.kspace.clone()
kspace[0, :4, 70:79] = 0  # axes (slice, coil, ky, kx)
scan = replace(full, kspace=kspace, mask=sampling.mask)
damaged = raki.reconstruct(scan, 'gated')
panels({'truth': truth, 'nine lines lost': damaged.image[0]})

# %% tags=["remove-cell"]
thumbnail('dark_lines', damaged.image[0], 0.9 * float(truth.max()))

# %% [markdown]
# ## How raki tells
#
# A receiver always delivers noise, so runs of exact zeros in lines that were measured
# are damage. It is a warning, at the command line, in the output file and here:

# %%
print(*damaged.warnings, sep='\n')

# %% [markdown]
# ## What to do
#
# Fetch the raw data again, if the scanner still has them. Else `--spikes drop` replaces
# lost samples by what the other coils and lines around predict.

# %%
mended = raki.reconstruct(scan, 'gated', spikes='drop').image[0]
panels({'truth': truth, "spikes='drop'": mended, '|error| x 10': 10 * (mended - truth)})
for name, image in {
    'damaged': damaged.image[0],
    'mended': mended,
}.items():
    print(f'{name:10s} error in the object {error_in_object(image, truth):.3f}')

# %% [markdown]
# It needs coils that kept their samples. A line that *all* coils lost is better
# declared as not measured, in the mask.
#
# ## A dark, blurred image
#
# is what zero filling gives. raki falls back to it where filling in would do harm, and
# warns. `energy filled/true` of `raki compare`, the energy of filled lines over that of
# the true ones, is 0 then, and 1 if all is well.

# %%
sparse_acs = raki.undersample(full.mask, rate=(6,), acs=(7,))
images = {'truth': truth}
for name, pattern in {
    'R = 6, 7 ACS lines': sparse_acs,
    'R = 3, 24 ACS lines': sampling,
}.items():
    result = raki.reconstruct(replace(full, mask=pattern.mask), 'gated')
    ratio = energy_ratio(
        result.reconstruction.kspace[0], reference, pattern.inside & ~pattern.mask
    )
    images[f'{name}\nenergy {ratio:.2f}'] = result.image[0]
    print(name, *result.warnings, sep=': ')
panels(images)

# %% [markdown]
# Lines beyond one end of k-space (partial Fourier) stay zero as well, unless
# `--partial-fourier pocs` is asked for ([around the interpolation](../around.md)).

# %% tags=["remove-cell"]
assert 'lost block' in damaged.warnings[0]
assert error_in_object(mended, truth) < 0.2 * error_in_object(damaged.image[0], truth)
assert torch.equal(full.mask, torch.ones(160, dtype=torch.bool))
