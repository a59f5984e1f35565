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
# # From NumPy arrays to a judged image, in ten cells
#
# K-space as an array, which of its lines were measured, and names of methods: nothing else is needed.

# %%
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec('raki') is None:  # on Colab, where the wheel that `pip wheel --no-deps .` makes was uploaded before
    wheels = list(map(str, Path().glob('raki-*.whl')))
    if not wheels:
        raise SystemExit('Upload the wheel of raki here first: raki-VERSION-py3-none-any.whl, then run this again.')
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', *wheels, 'matplotlib', 'pandas'], check=True)

# %%
import numpy as np

import raki

full = raki.simulate(raki.Simulation(matrix=(96, 80), n_coils=8))
kspace = np.asarray(full.kspace[0])  # complex, axes (coil, ky, kx), zero frequency in the middle
print(f'raki {raki.__version__}: k-space {kspace.shape}, {kspace.dtype}')

# %%
mask = np.zeros(96, bool)
mask[::3] = True  # every third line
mask[36:60] = True  # and 24 in the middle, to learn from
raki.scan_of(kspace, mask)

# %%
result = raki.reconstruct(kspace, mask, 'gated')
result

# %%
truth = raki.reconstruct(kspace, method='zero-filled').image  # of all lines
for name in ('zero-filled', 'grappa', 'gated'):
    image = raki.reconstruct(kspace, mask, name).image
    print(f'{name}: {image.shape}, {image.dtype}, error {np.linalg.norm(image - truth) / np.linalg.norm(truth):.4f}')
assert np.array_equal(result.image, image)
assert np.array_equal(result.kspace[:, mask], kspace[:, mask])
print('measured samples agree bit for bit')

# %%
result.plot()

# %%
comparison = raki.compare(kspace, [2, 3], ['zero-filled', 'grappa', 'gated'], acs=24, replicas=20)
comparison

# %%
comparison.to_frame()[['method', 'rate', 'nrmse_object', 'gfactor_mean', 'point_peak']].round(3)

# %%
from tempfile import mkdtemp

folder = Path(mkdtemp())
result.save(folder / 'image.nii.gz')
comparison.save(folder / 'comparison')
print(sorted(str(path.relative_to(folder)) for path in folder.rglob('*.*')))
