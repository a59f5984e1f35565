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
# # With BART
#
# [BART](https://mrirecon.github.io/bart) keeps arrays in pairs of files, `NAME.cfl` and
# `NAME.hdr`. raki reads and writes them.
#
# | | raki | BART |
# |---|---|---|
# | axes | (slice, coil, ky, kx) | READ, PHS1, PHS2, COIL, ..., SLICE: the same, in reverse, first axis fastest |
# | what was measured | `mask` | samples that are not zero, or `pics -p` |
# | Fourier transform | centred, zero frequency at n//2, orthonormal | the same with `fft -u -i 3`; without `-u` not orthonormal |
# | size of the image | that of k-space | of `pics`: scaled, unless `-S` scales it back |
#
# ## To BART and back

# %%
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import raki
from raki.data.save import write_scan
from raki.evaluation.bart import read_cfl
from scene import error_in_object, panels, simulated

FOLDER = Path(mkdtemp())
PROGRAMS = {'raki': [sys.executable, '-m', 'raki.cli'], 'bart': ['bart']}
HAS_BART = shutil.which('bart') is not None


def shell(commands: str) -> None:
    """Run commands, one a line; those of BART only where it is installed."""
    for line in commands.strip().splitlines():
        program, *words = shlex.split(line)
        if program != 'bart' or HAS_BART:
            done = subprocess.run(
                [*PROGRAMS[program], *words],
                cwd=FOLDER,
                check=True,
                capture_output=True,
                text=True,
            )
            print(f'$ {line}', *done.stdout.strip().splitlines(), sep='\n')


def image_in(name: str) -> np.ndarray:
    """Magnitude image (y, x) of a pair of files."""
    return np.abs(read_cfl(str(FOLDER / name)).squeeze().T)


full, reference, truth = simulated()
scan = replace(full, mask=raki.undersample(full.mask, rate=(3,), acs=(24,)).mask)
write_scan(FOLDER / 'scan.h5', scan, {'source': 'simulated'})
print(
    'with BART'
    if HAS_BART
    else 'BART is not installed here: what follows shows its commands without results'
)

# %%
shell("""
raki convert scan.h5 scan.cfl
raki reconstruct scan.cfl -o filled.cfl --method gated
""")

# %% [markdown]
# `filled` is k-space of all coils, for BART a fully sampled scan. `scan_noise` beside
# `scan` holds the noise samples, and is read again with it.

# %%
shell("""
bart fft -u -i 3 filled coils
bart rss 8 coils rss
bart ecalib -m 1 scan maps
bart pics -S -l2 -r 0.001 scan maps sense
""")

# %%
ours = raki.reconstruct(scan, 'gated').image[0]
images = {'truth': truth, 'gated': ours}
if HAS_BART:
    images |= {
        'gated, combined by BART': image_in('rss'),
        'SENSE by BART': image_in('sense'),
    }
    np.testing.assert_allclose(
        images['gated, combined by BART'],
        ours,
        rtol=1e-4,
        atol=1e-4 * float(ours.max()),
    )
panels(images)
for name, image in images.items():
    print(f'{name:26s} error in the object {error_in_object(image, truth):.3f}')

# %% [markdown]
# SENSE is regularised by `-r`, one value that was not tuned, and its sensitivities are
# zero in air. `raki compare --methods bart-pics` runs it with a strength that follows
# from the noise of the scan.
#
# ## Three traps
#
# - BART has no mask. Lines of zeros count as not measured, so a line that was measured
#   as zeros must be named: `--mask FILE`.
# - Readout first: `bart show -m scan` prints 128 (READ), 160 (PHS1), 1, 8 (COIL). In
#   NumPy's order the axes are reversed.
# - `pics` takes the Fourier transform of sizes that 4 does not divide to have other
#   phases. If an image by `pics` is shifted by a pixel against its sensitivities, this
#   is why; `raki compare` allows for it.

# %% tags=["remove-cell"]
shutil.rmtree(FOLDER)
