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
# # Fold-over
#
# **You see** the object a second time, shifted along the phase-encoding direction by
# the field of view over R, with sharp edges and bright. At R = 2 top and bottom lie
# over each other.
#
# **It means** that missing lines were taken for measured zeros: nothing was filled in.
# Every second line of this simulated scan is missing, and its file does not say so. Its
# autocalibration lines were measured apart.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import torch

import raki
from scene import error_in_object, image_of, panels, simulated, thumbnail

full, reference, truth = simulated()
sampling = raki.undersample(full.mask, rate=(2,), acs=(0,))
# axes (slice, coil, ky, kx)
kspace = torch.where(sampling.mask[:, None], full.kspace, 0)
folded = image_of(kspace[0])
panels({'truth': truth, 'Fourier transform only': folded})

# %% tags=["remove-cell"]
thumbnail('fold_over', folded)

# %% [markdown]
# ## How raki tells
#
# Lines that hold nothing but zeros, and no mask: raki does not guess. It refuses the
# file and says what to do.

# %%
with TemporaryDirectory() as folder:
    path = Path(folder, 'scan.h5')
    with h5py.File(path, 'w') as file:
        # axes (slice, coil, readout, phase encode)
        file['kspace'] = kspace.swapaxes(2, 3).numpy()
        file['acs'] = full.kspace[:, :, 68:92].swapaxes(2, 3).numpy()
    try:
        raki.load_scan(path)
    except raki.ScanError as error:
        print(str(error).removeprefix(f'{folder}/'))
    scan = raki.load_scan(path, mask='zeros')

# %% [markdown]
# ## What to do
#
# Say that lines of zeros were not measured: `raki reconstruct scan.h5 --mask zeros -o
# image.h5`, or `load_scan(path, mask='zeros')` as above. Better, put a dataset `mask`
# into the file ([every format](../formats/index.md)). Then the missing lines are filled in.

# %%
image = raki.reconstruct(scan, 'gated').image[0]
panels({'truth': truth, 'filled in': image, '|error| x 10': 10 * (image - truth)})
for name, each in {'folded': folded, 'filled in': image}.items():
    print(f'{name:10s} error in the object {error_in_object(each, truth):.3f}')

# %% [markdown]
# ## If the copies stay
#
# - Faint copies that are left after filling in are [ghosts](ghost.py).
# - A scan without lines to learn from has [no ACS](no_acs.py).
# - An object that is wider than the field of view folds over in a fully sampled scan,
#   too. No method here undoes that: scan a larger field of view along phase encoding,
#   or swap phase encoding and readout.

# %% tags=["remove-cell"]
assert error_in_object(image, truth) < 0.2 * error_in_object(folded, truth)
assert torch.equal(scan.mask, sampling.mask)
