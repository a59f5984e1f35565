"""What `raki info` tells of a file with two accelerated axes."""

from collections.abc import Mapping

from raki.data.lattice import VolumeSampling
from raki.data.scan import ScanFile
from raki.data.volume import Volume
from raki.errors import SamplingError


def describe_volume(file: ScanFile, first: Volume) -> dict[str, object]:
    """What is in a file with two accelerated axes, as `raki.commands.info.describe`; `first` is its first repetition."""
    size = None if first.voxel_size is None else [round(1000 * length, 4) for length in first.voxel_size]
    others = (file.read_volume(index) for index in range(1, file.n_repetitions)) if file.read_volume else ()
    return {
        'file': file.path,
        'format': file.format,
        'shape': dict(zip(('coil', 'kz', 'ky', 'kx'), first.kspace.shape, strict=True)),
        'voxel_size_mm': size,
        'image_shape': list(first.image_shape or first.kspace.shape[1:]),
        'noise_samples': 0 if first.noise is None else first.noise.shape[1],
        'has_reference': first.reference is not None,
        'repetitions': [_describe_sampling(first), *(_describe_sampling(volume) for volume in others)],
        'facts': dict(file.facts),
        'notes': list(file.notes),
    }


def _describe_sampling(volume: Volume) -> Mapping[str, object]:
    n_measured = int(volume.mask.sum())
    try:
        sampling = VolumeSampling.from_mask(volume.mask)
    except SamplingError as error:
        return {'measured_lines': n_measured, 'problem': str(error)}
    partitions, lines = sampling.acs
    n_filled = len(sampling.filled[0]) * len(sampling.filled[1])
    return {
        'measured_lines': n_measured,
        'acceleration': list(sampling.acceleration),
        'caipi_shift': sampling.lattice.shift,
        'net_acceleration': round(sampling.net_acceleration, 3),
        'first_position': list(sampling.lattice.first),
        'acs_lines': len(partitions) * len(lines),
        'acs': f'partitions {partitions.start} to {partitions.stop - 1}, lines {lines.start} to {lines.stop - 1}'
        if lines
        else 'none',
        'empty_lines': volume.mask.numel() - n_filled,
        'problem': None if lines else 'no ACS: nothing can be learnt',
    }
