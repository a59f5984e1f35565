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
# # Ghosts
#
# **You see** faint copies of edges inside the object, such as arcs of the skull across
# the brain, a field of view over R away from where they belong.
#
# **It means** that the weights are wrong: they were learnt from too few autocalibration
# lines (ACS), or from lines that do not belong to this scan, after a movement for
# instance. Here R = 4, with 12 ACS lines.

# %%
from dataclasses import replace

import numpy as np

import raki
from raki.evaluation.fidelity import ghost_index
from scene import error_in_object, panels, simulated, thumbnail

full, reference, truth = simulated()
PLAIN = raki.Grappa(calibration='measured')


def ghosts(method: raki.Method | str, n_acs: int) -> tuple[np.ndarray, str]:
    """An image at R = 4, and what is wrong with it."""
    sampling = raki.undersample(full.mask, rate=(4,), acs=(n_acs,))
    result = raki.reconstruct(replace(full, mask=sampling.mask), method)
    index = ghost_index(result.reconstruction.kspace[0], reference, sampling)
    image = result.image[0]
    return image, f'error {error_in_object(image, truth):.3f}, ghosts {index:.2f}'


short, told = ghosts(PLAIN, 12)
panels(
    {'truth': truth, f'12 ACS lines\n{told}': short, '|error| x 5': 5 * (short - truth)}
)

# %% tags=["remove-cell"]
thumbnail('ghost', short, 0.9 * float(truth.max()))

# %% [markdown]
# ## How raki tells
#
# With a reference, by `ghosts`, a column of `raki compare`: the share of the error that
# is shifted copies of the object. 0 is noise alone, 1 is ghosts alone. Without a
# reference no figure can tell ghosts from anatomy for certain. What speaks for them is
# a warning: fewer equations than unknowns, or ACS lines that the fit cannot predict
# when they are left out. If filling in would do harm, raki leaves the image as it was
# measured, and says so.

# %%
sampling = raki.undersample(full.mask, rate=(6,), acs=(7,))
refused = raki.reconstruct(replace(full, mask=sampling.mask), 'gated')
print(*refused.warnings, sep='\n')

# %% [markdown]
# ## What to do
#
# Measure more ACS lines: 24 instead of 12 cost 9 lines more here. Of a scan that is
# done already, learn more: `gated`, `grappa` and others learn a second time, from the
# lines around the ACS of the scan's own first reconstruction. That is the default.

# %%
longer, of_longer = ghosts(PLAIN, 24)
own, of_own = ghosts('gated', 12)
both, of_both = ghosts('gated', 24)
images = {
    f'plain, 24 lines\n{of_longer}': longer,
    f'gated, 12 lines\n{of_own}': own,
    f'gated, 24 lines\n{of_both}': both,
}
panels({'truth': truth} | images)

# %% [markdown]
# The share says nothing about the size: an error that is small may well be all ghost.
# Read it beside the error.

# %% tags=["remove-cell"]
n_lines = [
    int(raki.undersample(full.mask, rate=(4,), acs=(n,)).mask.sum()) for n in (12, 24)
]
assert n_lines[1] - n_lines[0] == 9
assert (
    error_in_object(both, truth)
    < error_in_object(longer, truth)
    < 0.6 * error_in_object(short, truth)
)
assert error_in_object(own, truth) < 0.8 * error_in_object(short, truth)
assert 'not filled in' in refused.warnings[0]
