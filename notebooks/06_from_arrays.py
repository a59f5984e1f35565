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
# K-space as an array, which lines were measured, and names: nothing else is needed.

# %%
from importlib.util import find_spec

if find_spec('raki') is None:  # on Colab
    get_ipython().run_line_magic('pip', 'install -q raki matplotlib pandas')  # type: ignore[name-defined]  # noqa: F821

# %%
import numpy as np

import raki

full = raki.simulate(raki.Simulation(matrix=(128, 96), n_coils=8))
kspace = np.asarray(full.kspace[0])  # complex, (coil, ky, kx), DC in the middle
print(f'raki {raki.__version__}: k-space {kspace.shape}, {kspace.dtype}')

# %%
mask = np.zeros(128, bool)
mask[::4] = True  # every fourth line
mask[52:76] = True  # and 24 lines in the middle, to learn from
measured = np.where(mask[:, None], kspace, 0)

# %%
raki.scan_of(measured, mask)

# %%
result = raki.reconstruct(measured, mask, 'gated')
result

# %%
linear = raki.reconstruct(measured, mask, 'grappa')
truth = np.sqrt((abs(np.fft.ifft2(np.fft.ifftshift(kspace, (-2, -1)), norm='ortho')) ** 2).sum(0))
for name, each in {'grappa': linear, 'gated': result}.items():
    error = np.linalg.norm(each.image - np.fft.fftshift(truth)) / np.linalg.norm(truth)
    print(f'{name}: image {each.image.shape}, {each.image.dtype}, NRMSE {error:.4f}')
assert np.array_equal(result.kspace[:, mask], measured[:, mask])
print('measured samples agree bit for bit')

# %%
result.plot()

# %%
comparison = raki.compare(kspace, [2, 4], ['zero-filled', 'grappa', 'gated'], acs=24, replicas=20)
comparison

# %%
comparison.to_frame()[['method', 'rate', 'nrmse_object', 'gfactor_mean', 'point_peak']].round(3)

# %%
from pathlib import Path
from tempfile import mkdtemp

folder = Path(mkdtemp())
result.save(folder / 'image.nii.gz')
comparison.save(folder / 'comparison')
print(sorted(str(path.relative_to(folder)) for path in folder.rglob('*.*')))
