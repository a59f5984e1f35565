"""What `raki simulate` does: a scan, or a volume where the matrix has three sizes, undersampled and written."""

from dataclasses import asdict, replace
from pathlib import Path

from raki.commands.inputs import by
from raki.commands.origin import versions
from raki.data.sampling import undersample
from raki.data.save import write_scan
from raki.data.simulate import Simulation, simulate

EXAMPLES = {'a rate': ('4', '2x2'), 'an ACS': ('24', '12x24')}


def simulate_file(
    output: Path, settings: Simulation, rate: tuple[int, ...], acs: tuple[int, ...], shift: int = 0
) -> str:
    """Simulate, undersample where a rate is above 1, write in fastMRI layout or as a volume; say what was written.

    Parameters
    ----------
    output, settings
        File to write, and what to simulate.
    rate, acs
        Spacing of measured lines, where ones keep all of them, and size of the ACS where lines are left out, (ky,) or
        (kz, ky) [line].
    shift
        CAIPI shift of a volume [line].

    Raises
    ------
    ValueError
        If these do not fit the matrix.
    """
    matrix, is_volume = settings.matrix, len(settings.matrix) == 3
    for (name, examples), sizes in zip(EXAMPLES.items(), (rate, acs), strict=True):
        if len(sizes) != len(matrix) - 1:
            raise ValueError(f'a matrix of {by(matrix)} needs {name} such as {examples[is_volume]}, got {by(sizes)}')
    if min(rate) < 1:
        raise ValueError(f'the rate must be 1 or more, got {by(rate)}')
    if shift and not is_volume:
        raise ValueError(f'a CAIPI shift needs a volume, such as a matrix of 32x96x80, got {by(matrix)}')
    scan = simulate(settings)
    if max(rate) > 1:
        scan = replace(scan, mask=undersample(scan.mask, rate, acs, shift).mask)
    acceleration = by(rate) if is_volume else rate[0]
    facts = {'source': 'raki simulate', 'notes': f'simulated: {settings}', 'acceleration': acceleration}
    options = {**asdict(settings), 'rate': by(rate), 'acs': by(acs), 'shift': shift}
    made = {'command': 'simulate', 'options': options, 'versions': versions()}
    write_scan(output, scan, {**facts, 'manifest': made})
    names = ('partitions', 'lines', 'samples')[-len(matrix) :]
    size = ' x '.join(f'{size} {name}' for size, name in zip(matrix, names, strict=True))
    what = 'a volume' if is_volume else f'{settings.n_slices} slice(s)'
    return f'{what}, {settings.n_coils} coils, {size}, R={acceleration}' + (f' shift {shift}' if is_volume else '')
