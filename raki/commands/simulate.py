"""What `raki simulate` does: a scan, or a volume where the matrix has three sizes, undersampled and written."""

from dataclasses import dataclass, replace
from pathlib import Path

from raki.data.lattice import undersample_volume
from raki.data.sampling import undersample
from raki.data.save import write_scan, write_volume
from raki.data.simulate import Simulation, simulate
from raki.data.simulate_volume import VolumeSimulation, simulate_volume


@dataclass(frozen=True, slots=True)
class SimulationJob:
    """What to simulate, and how to undersample it."""

    matrix: tuple[int, ...]
    """Size (ky, kx), or (kz, ky, kx) of a volume."""

    n_coils: int
    """Number of coils."""

    n_slices: int
    """Number of slices; a volume has 1."""

    noise: float
    """As `raki.data.simulate.Simulation.noise` [1]."""

    seed: int
    """Seed of texture, phase and noise."""

    rate: tuple[int, ...]
    """Spacing of measured lines, (Ry,) or (Rz, Ry); ones keep all of them [line]."""

    shift: int
    """CAIPI shift of a volume [line]."""

    acs: tuple[int, ...]
    """ACS where lines are left out, (ky,) or (kz, ky) [line]."""

    def __post_init__(self) -> None:
        n_axes = len(self.matrix) - 1
        if n_axes not in (1, 2):
            raise ValueError(f'the matrix needs 2 sizes such as 160x128, or 3 of a volume, got {_by(self.matrix)}')
        examples = {'a rate': ('4', '2x2'), 'an ACS': ('24', '12x24')}
        for (name, example), sizes in zip(examples.items(), (self.rate, self.acs), strict=True):
            if len(sizes) != n_axes:
                wanted = f'{name} such as {example[n_axes - 1]}'
                raise ValueError(f'a matrix of {_by(self.matrix)} needs {wanted}, got {_by(sizes)}')
        if min(self.rate) < 1:
            raise ValueError(f'the rate must be 1 or more, got {_by(self.rate)}')
        if n_axes == 1 and self.shift:
            raise ValueError(f'a CAIPI shift needs a volume, such as a matrix of 32x96x80, got {_by(self.matrix)}')
        if n_axes == 2 and self.n_slices != 1:
            raise ValueError(f'a volume has partitions instead of slices, got {self.n_slices} slices')


def simulate_file(output: Path, job: SimulationJob) -> str:
    """Simulate, undersample where a rate is above 1, write in fastMRI layout or as a volume; say what was written."""
    return _simulate_slices(output, job) if len(job.matrix) == 2 else _simulate_volume(output, job)


def _simulate_slices(output: Path, job: SimulationJob) -> str:
    (n_lines, n_samples), (rate,), (n_acs,) = job.matrix, job.rate, job.acs
    settings = Simulation((n_lines, n_samples), job.n_coils, job.n_slices, job.noise, job.seed)
    scan = simulate(settings)
    if rate > 1:
        scan = replace(scan, mask=undersample(scan.mask, rate, n_acs).mask)
    write_scan(output, scan, {'source': 'raki simulate', 'notes': f'simulated: {settings}', 'acceleration': rate})
    return f'{job.n_slices} slice(s), {job.n_coils} coils, {n_lines} lines x {n_samples} samples, R={rate}'


def _simulate_volume(output: Path, job: SimulationJob) -> str:
    (n_partitions, n_lines, n_samples), (rate_z, rate_y), (acs_z, acs_y) = job.matrix, job.rate, job.acs
    settings = VolumeSimulation((n_partitions, n_lines, n_samples), job.n_coils, job.noise, job.seed)
    volume = simulate_volume(settings)
    if job.rate != (1, 1):
        sampling = undersample_volume(volume.mask, (rate_z, rate_y), job.shift, (acs_z, acs_y))
        volume = replace(volume, mask=sampling.mask)
    facts = {'source': 'raki simulate', 'notes': f'simulated: {settings}', 'acceleration': _by(job.rate)}
    write_volume(output, volume, facts)
    size = f'{n_partitions} partitions x {n_lines} lines x {n_samples} samples'
    return f'a volume, {job.n_coils} coils, {size}, R={_by(job.rate)} shift {job.shift}'


def _by(sizes: tuple[int, ...]) -> str:
    return 'x'.join(map(str, sizes))
