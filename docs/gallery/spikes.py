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
# # Spikes
#
# **You see** stripes over the whole image, air included, of one direction and one
# spacing. Several of them make a herringbone pattern.
#
# **It means** that single samples of k-space are far too large: a spark in the scanner
# room, a loose contact, or a bit that flipped on the way to the file. Each such sample
# is a plane wave in the image. Here two samples, in two coils, out of all that were
# measured.

# %%
from dataclasses import replace

import raki
from scene import error_in_object, panels, simulated, thumbnail

full, reference, truth = simulated()
sampling = raki.undersample(full.mask, rate=(3,), acs=(24,))
kspace = full.kspace.clone()
spike = 0.2 * kspace.abs().max()
kspace[0, 2, 30, 90] = kspace[0, 5, 99, 20] = spike  # axes (slice, coil, ky, kx)
scan = replace(full, kspace=kspace, mask=sampling.mask)
striped = raki.reconstruct(scan, 'gated')
panels({'truth': truth, 'two spikes': striped.image[0]})

# %% tags=["remove-cell"]
thumbnail('spikes', striped.image[0], 0.9 * float(truth.max()))

# %% [markdown]
# ## How raki tells
#
# Before anything is learnt, every sample is compared with those around it, in all
# coils. What stands out as no signal does is counted, and the largest is named:

# %%
print(*striped.warnings, sep='\n')

# %% [markdown]
# A sample that outweighs all others of its coil together is refused: no image would
# show anything else. The report of a comparison and the output file have the same
# sentences.
#
# ## What to do
#
# `raki reconstruct scan.h5 --spikes drop -o image.h5` replaces damaged samples by what
# their neighbours in all coils predict, learnt from the undamaged rest of the slice.

# %%
clean = raki.reconstruct(scan, 'gated', spikes='drop')
panels(
    {
        'truth': truth,
        "spikes='drop'": clean.image[0],
        '|error| x 10': 10 * (clean.image[0] - truth),
    }
)
undamaged = raki.reconstruct(replace(full, mask=sampling.mask), 'gated').image[0]
for name, image in {
    'two spikes': striped.image[0],
    'dropped': clean.image[0],
    'never there': undamaged,
}.items():
    print(f'{name:12s} error in the object {error_in_object(image, truth):.4f}')

# %% [markdown]
# Spikes that come back in every scan are a matter for the service, not for software.
# Small ones, below the signal around them, are not found, and do little harm.

# %% tags=["remove-cell"]
assert striped.warnings[0].startswith('2 sample(s)')
assert error_in_object(clean.image[0], truth) < 1.05 * error_in_object(undamaged, truth)
assert error_in_object(striped.image[0], truth) > 3 * error_in_object(undamaged, truth)
