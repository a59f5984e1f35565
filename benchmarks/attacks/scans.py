"""Small clean scans of every format, the images that come of them, and how an image is judged against those."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from attacks.cases import Verdict
from attacks.folders import State, fault_of
from attacks.running import Ending, run
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate

OUTPUT = 'out.h5'

RIGHT, SILENT = 1e-3, 1e-2
"""An image is right up to the first NRMSE to the clean one; above the second it is wrong, and silent without a warning;
between them it is near [1]."""

GENERATOR = 'ismrmrd_generate_cartesian_shepp_logan'
"""The generator of ISMRMRD's own tools."""

N_NOISE = 512

SHARED = ('ismrmrd_phantom8_R3_acs24.h5', 'xingkong_R2_16.h5')
"""Of the shared scans, those that are undersampled and small."""


@dataclass(frozen=True, slots=True, eq=False)
class Clean:
    """A scan in which nothing is wrong."""

    name: str
    """Format, for the table."""
    files: tuple[Path, ...]
    """The file that is named on the command line, and what lies beside it."""
    options: tuple[str, ...]
    """How it is read and reconstructed."""
    image: np.ndarray
    """Its images, axes (image, y, x)."""
    warnings: frozenset[str]
    """What is warned of without any fault."""

    def command(self, output: str = OUTPUT) -> list[str]:
        """How it is reconstructed in a folder that holds its files."""
        return ['reconstruct', self.files[0].name, '-o', output, *self.options]

    def copied(self, folder: Path) -> list[Path]:
        """Its files, in a folder."""
        return [Path(shutil.copy2(file, folder)) for file in self.files]


def image_in(path: Path) -> np.ndarray:
    """Images of a reconstruction, axes (image, y, x)."""
    with h5py.File(path, 'r') as file:
        return np.asarray(file['reconstruction'])  # type: ignore[arg-type]


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """Error relative to the true image; infinite where shapes differ or a value is not finite [1]."""
    if image.shape != truth.shape or not np.isfinite(image).all():
        return np.inf
    wide = truth.astype(np.float64)
    return float(np.linalg.norm(image - wide) / np.linalg.norm(wide))


def judged(ending: Ending, states: tuple[State, State], folder: Path, clean: Clean, output: str = OUTPUT) -> Verdict:
    """What came of reconstructing a damaged scan; `states` of the folder before and after."""
    fault = ending.fault or fault_of(*states, ending, [output])
    if fault or ending.code:
        return Verdict(fault or 'refused', ending.last)
    error = nrmse(image_in(folder / output), clean.image)
    if error <= RIGHT:
        return Verdict('right')
    if news := [line for line in ending.warnings if line not in clean.warnings]:
        return Verdict('warned', f'nrmse {error:.3g}: {news[0][:200]}')
    return Verdict('near' if error <= SILENT else 'silent', f'nrmse {error:.3g}')


def kept(scan: Scan, rate: Sequence[int], acs: Sequence[int]) -> Scan:
    """An undersampled scan with fewer noise samples and without its truth."""
    mask = undersample(scan.mask, tuple(rate), tuple(acs)).mask
    return replace(scan, mask=mask, reference=None, noise=None if scan.noise is None else scan.noise[:, :N_NOISE])


def clean_scans(folder: Path, shared: Path | None, seed: int) -> list[Clean]:
    """All of them, written into a folder."""
    return [_reconstructed(name, files, options) for name, files, options in _written(folder, shared, seed)]


def _reconstructed(name: str, files: tuple[Path, ...], options: tuple[str, ...]) -> Clean:
    """With what comes of it; an error if that fails."""
    found = Clean(name, files, options, np.zeros(0), frozenset())
    output = files[0].with_name(f'clean {name}.h5')
    ending = run([*found.command(output.name)], files[0].parent)
    if ending.code:
        raise RuntimeError(f'{name} without any fault: {ending.err}')
    return replace(found, image=image_in(output), warnings=frozenset(ending.warnings))


Written = tuple[str, tuple[Path, ...], tuple[str, ...]]

GRAPPA = ('--method', 'grappa')


def _written(folder: Path, shared: Path | None, seed: int) -> Iterator[Written]:
    """Name, files and options of every scan."""
    slices = kept(simulate(Simulation((64, 48), 8, 1, seed=seed)), (3,), (20,))
    volume = kept(simulate(Simulation((16, 32, 24), 6, seed=seed)), (2, 2), (10, 16))
    plain, volumes = folder / 'fastmri.h5', folder / 'volume.h5'
    write_scan(plain, slices, {'source': 'simulated'})
    write_scan(volumes, volume, {'source': 'simulated'})
    yield 'fastMRI', (plain,), GRAPPA
    yield 'fastMRI, gated', (plain,), ()
    yield 'fastMRI, chunked', (_chunked(plain, folder / 'chunked.h5'),), GRAPPA
    yield 'generic', (_generic(slices, folder / 'generic.h5'),), GRAPPA
    yield 'volume', (volumes,), GRAPPA
    for name, source in (('MRD', plain), ('MRD volume', volumes)):
        yield name, _converted(source, folder / f'{source.stem}.mrd.h5'), GRAPPA
    yield 'BART', _converted(plain, folder / 'bart.cfl'), (*GRAPPA, '--mask', 'zeros')
    yield 'NumPy', (_numpy(slices, folder / 'numpy.npz'),), (*GRAPPA, '--axes', 'coil,ky,kx', '--mask', 'mask')
    if shutil.which(GENERATOR):
        yield 'MRD, generated', (_generated(folder / 'generated.h5'),), GRAPPA
    for name in SHARED if shared else ():
        yield f'shared {name.split("_")[0]}', (Path(shutil.copy(Path(str(shared)) / name, folder)),), GRAPPA


def _chunked(source: Path, target: Path) -> Path:
    """The same with k-space in compressed chunks, as others store it."""
    with h5py.File(source) as old, h5py.File(target, 'w') as new:
        for name, array in old.items():
            values: Any = array[()]  # type: ignore[index]
            chunks = (1, 1, *values.shape[2:]) if name == 'kspace' else None
            new.create_dataset(name, data=values, chunks=chunks, compression='gzip' if chunks else None)
        new.attrs.update(old.attrs)
    return target


def _generic(scan: Scan, target: Path) -> Path:
    """A file that names its axes, with k-space in chunks."""
    with h5py.File(target, 'w') as file:
        values = (scan.kspace[0] * scan.mask[:, None]).numpy()
        kspace = file.create_dataset('kspace', data=values.transpose(1, 0, 2), chunks=(8, 8, 48))
        kspace.attrs['axes'] = 'ky,coil,kx'
        file['mask'] = scan.mask.numpy()
    return target


def _numpy(scan: Scan, target: Path) -> Path:
    np.savez(target, kspace=(scan.kspace[0] * scan.mask[:, None]).numpy(), mask=scan.mask.numpy())
    return target


def _converted(source: Path, target: Path) -> tuple[Path, ...]:
    """As `raki convert` writes it, with what it writes beside it."""
    ending = run(['convert', source.name, target.name], source.parent)
    if ending.code:
        raise RuntimeError(ending.err)
    beside = (each for each in target.parent.glob(f'{target.stem}*') if each.suffix in ('.cfl', '.hdr'))
    return (target, *(each for each in sorted(beside) if each != target))


def _generated(target: Path) -> Path:
    """As the tools of ISMRMRD write it, with noise."""
    size = ('-m', '64', '-c', '8', '-a', '2', '-w', '20', '-C', '-n', '0.01')
    subprocess.run([GENERATOR, *size, '-o', target.name], check=True, capture_output=True, cwd=target.parent)
    return target
