"""One byte of our own outputs inverted: `raki verify` tells, or the content is the same."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from attacks.cases import Case, Verdict, generator_of
from attacks.contents import sums
from attacks.folders import fault_of, state_of
from attacks.running import run
from attacks.scans import Clean
from attacks.warm import commands, options_of

NAME = 'flips'

COUNT = 500

WRITING = {
    'reconstruct .h5': 'reconstruct fastmri.h5 -o out.h5 --method grappa --kspace --gfactor',
    'reconstruct .mrd.h5': 'reconstruct fastmri.h5 -o out.mrd.h5 --method grappa',
    'reconstruct .nii': 'reconstruct fastmri.h5 -o out.nii --method grappa',
    'reconstruct .nii.gz': 'reconstruct fastmri.h5 -o out.nii.gz --method grappa',
    'reconstruct .dcm': 'reconstruct fastmri.h5 -o out.dcm --method grappa',
    'reconstruct .png': 'reconstruct fastmri.h5 -o out.png --method grappa',
    'reconstruct .cfl': 'reconstruct fastmri.h5 -o out.cfl --method grappa',
    'convert .h5': 'convert fastmri.mrd.h5 out.h5',
    'convert .mrd.h5': 'convert fastmri.h5 out.mrd.h5',
    'convert .cfl': 'convert fastmri.h5 out.cfl',
    'simulate': 'simulate -o out.h5 --coils 4 --matrix 32x24',
    'compare': 'compare full.h5 -o page --rates 2 --acs 16 --methods zero-filled grappa --replicas 0',
    'fit': 'reconstruct fastmri.h5 -o out.h5 --method grappa --save-fit fit.safetensors',
    'batch': 'batch fastmri.h5 -o many --method grappa',
}
"""What writes each kind of output, in a folder with the scans that are named."""

INPUTS = ('fastmri.h5', 'fastmri.mrd.h5', 'full.h5')

VERIFIED = 'as written'


def cases(scans: Sequence[Clean], count: int, seed: int) -> list[Case]:
    """As many flips, evenly over all outputs that `raki verify` takes."""
    if 'verify' not in commands():
        print('  no command verify: not flipped')
        return []
    outputs = list(_outputs(Path(scans[0].files[0]).parent))
    found = [Case('untouched', f'{NAME}/{kind}/untouched', partial(_untouched, of=files)) for kind, files in outputs]
    for number in range(count):
        kind, files = outputs[number % len(outputs)]
        name = f'{NAME}/{kind}/{number}'
        found.append(Case(kind, name, partial(_flipped, of=files, name=name, seed=seed)))
    return found


def _outputs(folder: Path) -> list[tuple[str, Path]]:
    """Kinds with the folder that holds what was written."""
    run(['simulate', '-o', 'full.h5', '--coils', '6', '--matrix', '48x40'], folder)
    there = commands()
    found = []
    for kind, command in WRITING.items():
        if command.split()[0] not in there or (kind == 'fit' and '--save-fit' not in options_of('reconstruct')):
            print(f'  {kind} is not there: not flipped')
            continue
        here = folder / f'of flips {kind}'
        here.mkdir()
        for name in INPUTS:
            shutil.copy2(folder / name, here)
        ending = run(command.split(), here)
        for name in INPUTS:
            (here / name).unlink()
        if ending.code:
            raise RuntimeError(f'{command}: {ending.err}')
        found.append((kind, here))
    return found


def _shown(folder: Path) -> list[str]:
    """Files that a user sees, not the records of a batch."""
    return sorted(name for name in sums(folder) if not any(part.startswith('.') for part in Path(name).parts))


def _untouched(folder: Path, of: Path) -> Verdict:
    """What was just written must be verified."""
    shutil.copytree(of, folder, dirs_exist_ok=True)
    for name in _shown(folder):
        ending = run(('verify', name), folder)
        if ending.fault or ending.code:
            return Verdict(ending.fault or 'wrong', f'{name}: {ending.code} {ending.out[-200:]} {ending.last}')
    return Verdict('verified')


def _flipped(folder: Path, of: Path, name: str, seed: int) -> Verdict:
    """Invert one byte of one file, and verify that file."""
    generator = generator_of(name, seed)
    shutil.copytree(of, folder, dirs_exist_ok=True)
    files = [file for file in _shown(folder) if run(('verify', file), folder).code == 0]
    if not files:
        return Verdict('not verifiable')
    sizes = [(folder / file).stat().st_size for file in files]
    weights = [size**0.5 for size in sizes]
    number = int(generator.choice(len(files), p=[weight / sum(weights) for weight in weights]))
    content = bytearray((folder / files[number]).read_bytes())
    position = int(generator.integers(len(content)))
    content[position] ^= int(generator.integers(1, 256))
    (folder / files[number]).write_bytes(content)
    return _verified(folder, files[number], of, position)


def _verified(folder: Path, name: str, of: Path, position: int) -> Verdict:
    """Whether it is told, by naming the file or its folder; otherwise whether it makes no difference."""
    before, where = state_of(folder), f'{name} at {position}'
    ending = run(('verify', name), folder)
    fault = ending.fault or fault_of(before, state_of(folder), ending, [])
    if fault:
        return Verdict(fault, f'{where}: {ending.last}')
    if ending.code:
        return Verdict('detected')
    if _is_same(folder / name, of / name):
        return Verdict('same content', where)
    return Verdict('undetected', f'{where}: {ending.out[-200:]}')


def _is_same(path: Path, original: Path) -> bool:
    """Whether a reader finds the same values and attributes in both."""
    from attacks.contents import everything

    try:
        return everything(path) == everything(original)
    except Exception:  # noqa: BLE001 - readers of damaged files raise anything
        return False
