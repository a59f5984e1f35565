"""What `raki info` says of a scan: shape, lattice, coils, noise, and what GRAPPA chooses for it."""

from raki.coils.noise import noise_covariance
from raki.coils.transform import coil_transform
from raki.commands.info_volume import describe_volume
from raki.data.sampling import Sampling
from raki.data.scan import Scan, ScanFile
from raki.errors import CalibrationError, SamplingError
from raki.grappa.method import KERNELS
from raki.interpolation.fit import Calibration
from raki.interpolation.noise_power import noise_power
from raki.interpolation.tuning import tune
from raki.pipeline import calibration_lines


def describe(file: ScanFile) -> dict[str, object]:
    """What is in a file; for every repetition the lattice of its first slice, and what stands in its way."""
    volume = None if file.read_volume is None else file.read_volume(0)
    if volume is not None and not volume.has_full_kz:
        return describe_volume(file, volume)
    repetitions = [file.read([0], repetition) for repetition in range(file.n_repetitions)]
    first = repetitions[0]
    chosen = _chosen_for(first)
    return {
        'file': file.path,
        'format': file.format,
        'shape': dict(zip(('slice', 'coil', 'ky', 'kx'), file.shape, strict=True)),
        'voxel_size_mm': None if first.voxel_size is None else [round(1000 * size, 4) for size in first.voxel_size],
        'image_shape': list(first.image_shape or first.kspace.shape[2:]),
        'noise_samples': 0 if first.noise is None else first.noise.shape[1],
        'has_reference': first.reference is not None,
        'coils': _describe_coils(first),
        **chosen,
        'repetitions': [_describe_sampling(scan) for scan in repetitions],
        'facts': dict(file.facts),
        'notes': list(file.notes),
    }


def _chosen_for(scan: Scan) -> dict[str, object]:
    """Noise estimated from the ACS, and what GRAPPA chooses for it; nothing where there is no ACS to learn from."""
    try:
        sampling = Sampling.from_mask(scan.mask)
        if sampling.acceleration == 1:
            return {}
        acs = calibration_lines(scan, sampling, 0)
        transform = coil_transform(acs, scan.noise)
        lines = transform.apply(sampling.lattice_lines(scan.kspace[0]))
        tuned = tune(Calibration(transform.apply(acs), sampling.acceleration, lines), KERNELS)
        noise = noise_power(acs) ** 0.5
    except (SamplingError, CalibrationError):
        return {}
    measured = None if scan.noise is None else float(noise_covariance(scan.noise).diagonal().real.mean()) ** 0.5
    return {
        'noise_of_acs': float(f'{noise:.4g}'),
        'noise_of_samples': None if measured is None else float(f'{measured:.4g}'),
        'grappa_kernel': str(tuned.kernel),
        'grappa_regularization': float(f'{tuned.regularization:.3g}'),
    }


def _describe_coils(scan: Scan) -> list[str]:
    """What is wrong with coils, and what is done to them before a method learns."""
    try:
        transform = coil_transform(calibration_lines(scan, Sampling.from_mask(scan.mask), 0), scan.noise)
    except CalibrationError as error:
        return [str(error)]
    except SamplingError:
        return []
    return [*transform.warnings, *transform.notes]


def _describe_sampling(scan: Scan) -> dict[str, object]:
    try:
        sampling = Sampling.from_mask(scan.mask)
    except SamplingError as error:
        return {'measured_lines': int(scan.mask.sum()), 'problem': str(error)}
    separate = scan.calibration is not None
    n_acs = len(sampling.acs) if scan.calibration is None else scan.calibration.shape[2]
    filled = sampling.filled_range
    return {
        'measured_lines': int(scan.mask.sum()),
        'acceleration': sampling.acceleration,
        'net_acceleration': round(sampling.net_acceleration, 3),
        'first_line': sampling.first_line,
        'acs_lines': n_acs,
        'acs': 'separate'
        if separate
        else f'lines {sampling.acs.start} to {sampling.acs.stop - 1}'
        if n_acs
        else 'none',
        'empty_lines': len(scan.mask) - len(filled),
        'problem': None if n_acs or sampling.acceleration == 1 else 'no ACS: nothing can be learnt',
    }
