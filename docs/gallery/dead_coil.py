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
# # A dead or noisy coil
#
# **You see** shading or grain on one side of the object, or noise all over the air. One
# of the coil images is black, or shows nothing but noise.
#
# **It means** a broken element, cable or preamplifier. Here coil 3 is dead in one scan,
# and delivers only noise, 30 times more than it should, in another.

# %%
from dataclasses import replace

import torch

import raki
from raki.coils.combine import walsh
from raki.coils.noise import noise_covariance
from raki.fourier import image_from_kspace
from scene import error_in_object, image_of, panels, simulated, thumbnail

full, reference, _ = simulated()
sampling = raki.undersample(full.mask, rate=(3,), acs=(24,))
others = [coil for coil in range(full.n_coils) if coil != 3]
of_others = image_from_kspace(reference[others])
truth = image_of(reference[others])


def with_coil_3(kspace: torch.Tensor, noise: torch.Tensor) -> raki.Scan:
    """The undersampled scan with k-space (ky, kx) and noise samples of another coil 3."""
    scan = replace(
        full,
        kspace=full.kspace.clone(),
        noise=full.noise.clone(),
        mask=sampling.mask,
        reference=None,
    )
    scan.kspace[0, 3], scan.noise[3] = kspace, noise
    return scan


generator = torch.Generator().manual_seed(0)
strength = 30 * full.noise[3].std()
hiss = [
    strength * torch.randn(size, dtype=torch.complex64, generator=generator)
    for size in ((160, 128), (4096,))
]
dead = with_coil_3(torch.zeros(160, 128), torch.zeros(4096))
noisy = with_coil_3(*hiss)
coils = image_from_kspace(noisy.kspace[0])
panels({f'coil {number}': image for number, image in enumerate(coils)})

# %% [markdown]
# ## How raki tells
#
# A dead coil is found by its power, left out of learning, and warned of. Coil 3 of the
# image is zero.

# %%
result = raki.reconstruct(dead, 'gated')
print(*result.warnings, sep='\n')
error = error_in_object(result.image[0], truth)
print(f'error in the object, against what the other coils see: {error:.3f}')

# %% [markdown]
# A noisy coil is no error. If the file has noise samples, coils are whitened before
# anything is learnt, so that it counts as little as it knows. Its noise still enters
# the root sum of squares, where all coils count alike.

# %%
alike = raki.reconstruct(noisy, 'gated').image[0]
panels(
    {
        'the other coils': truth,
        'with the noisy one': alike,
        '|error| x 10': 10 * (alike - truth),
    }
)

# %% tags=["remove-cell"]
thumbnail('dead_coil', alike, 0.7 * float(truth.max()))

# %% [markdown]
# ## What to do
#
# Leave the coil out, or combine coils by what they know: `--combine walsh` weighs them
# by their noise. It gives the image in units of that noise, so that it is judged here
# against the true image in the same units. In either case tell who looks after the
# scanner.

# %%
silent = replace(noisy, kspace=noisy.kspace[:, others], noise=noisy.noise[others])
left_out = raki.reconstruct(silent, 'gated').image[0]
weighted = raki.reconstruct(noisy, 'gated', combine='walsh').image[0]
weighted_truth = walsh(of_others, noise_covariance(silent.noise)).numpy()
scale = float(truth.max() / weighted_truth.max())
panels(
    {
        'all alike': alike,
        'coil 3 left out': left_out,
        "combine='walsh'": scale * weighted,
    }
)
judged = {
    'all alike': (alike, truth),
    'left out': (left_out, truth),
    'walsh': (weighted, weighted_truth),
}
for name, pair in judged.items():
    print(f'{name:12s} error in the object {error_in_object(*pair):.3f}')

# %% tags=["remove-cell"]
assert result.warnings[0].startswith('coil 3 is dead')
assert error_in_object(left_out, truth) < 0.5 * error_in_object(alike, truth)
assert error_in_object(weighted, weighted_truth) < 0.5 * error_in_object(alike, truth)
