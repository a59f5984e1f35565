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
# # No autocalibration lines
#
# **You see** no image, but an error. Or, from another program, an image that is [folded
# over](fold_over.py).
#
# **It means** that no two neighbouring lines of the scan were measured, and that there
# are no calibration lines (ACS) beside it. Every method here learns from the scan
# itself how coils relate neighbouring lines. Without such lines there is nothing to
# learn from.

# %%
from dataclasses import replace

import raki
from scene import error_in_object, panels, simulated, thumbnail

full, reference, truth = simulated()
sampling = raki.undersample(full.mask, rate=(3,), acs=(0,))
scan = replace(full, mask=sampling.mask)
folded = raki.reconstruct(scan, 'zero-filled').image[0]
panels({'truth': truth, 'R = 3 without ACS, zero-filled': folded})

# %% tags=["remove-cell"]
thumbnail('no_acs', folded)

# %% [markdown]
# ## How raki tells

# %%
try:
    raki.reconstruct(scan, 'gated')
except raki.CalibrationError as error:
    print(error)

# %% [markdown]
# `raki info` ends with the same verdict, before any work is done.
#
# ## What to do
#
# Often the lines exist, and were left out on the way: in Siemens files they are
# reference lines, in ISMRMRD files they carry flag 20 or 21. A converter that drops
# them makes such a file; read the raw file itself ([every format](../formats/index.md)).
#
# Else measure them, with the same coils and the same position: some 24 lines at the
# centre of k-space, by a scan that may have another contrast. They go into
# `calibration`, or into the dataset `acs` of a file. Such lines teach only, they do not
# enter the image.

# %%
prescan = simulated(noise=0.006).full
lines = prescan.kspace[:, :, 68:92]  # axes (slice, coil, ky, kx)
measured_apart = replace(scan, calibration=lines)
image = raki.reconstruct(measured_apart, 'gated').image[0]
panels(
    {
        'truth': truth,
        'learnt from a prescan': image,
        '|error| x 10': 10 * (image - truth),
    }
)

# %% [markdown]
# Lines inside the scan are better, as they also enter the image and move with it. Next
# time, ask the protocol for integrated reference lines.

# %%
inside = raki.undersample(full.mask, rate=(3,), acs=(24,))
integrated = raki.reconstruct(replace(full, mask=inside.mask), 'gated').image[0]
for name, each in {
    'zero-filled': folded,
    'ACS from a prescan': image,
    'ACS inside the scan': integrated,
}.items():
    print(f'{name:20s} error in the object {error_in_object(each, truth):.3f}')

# %% tags=["remove-cell"]
assert (
    error_in_object(integrated, truth)
    < error_in_object(image, truth)
    < 0.2 * error_in_object(folded, truth)
)
