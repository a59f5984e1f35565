"""Scan-specific reconstruction of undersampled multi-coil k-space: RAKI and its linear baseline GRAPPA.

Names are loaded when they are first used, so that `raki --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raki.coils.transform import CoilTransform, coil_transform
    from raki.data.generic import DatasetLayout
    from raki.data.lattice import Lattice, VolumeSampling, undersample_volume
    from raki.data.load import load_scan, load_volume, open_scan
    from raki.data.sampling import Sampling, undersample
    from raki.data.scan import Scan, ScanFile
    from raki.data.simulate import Simulation, simulate
    from raki.data.simulate_volume import VolumeSimulation, simulate_volume
    from raki.data.volume import Volume
    from raki.errors import CalibrationError, ResourceError, SamplingError, ScanError, TrainingError
    from raki.grappa.method import Grappa
    from raki.interpolation.fit import Interpolator, Method, fit
    from raki.interpolation.kernel import Kernel
    from raki.interpolation.volume import VolumeInterpolator, fit_volume
    from raki.networks.iterative import IterativeRaki
    from raki.networks.raki import RAKI_2019, RAKI_COMPLEX, Raki
    from raki.networks.recommended import GatedRaki
    from raki.networks.residual import ResidualRaki
    from raki.pipeline import Reconstruction, reconstruct
    from raki.volume_pipeline import reconstruct_volume

_HOMES = {
    'raki.coils.transform': ('CoilTransform', 'coil_transform'),
    'raki.data.generic': ('DatasetLayout',),
    'raki.data.lattice': ('Lattice', 'VolumeSampling', 'undersample_volume'),
    'raki.data.load': ('load_scan', 'load_volume', 'open_scan'),
    'raki.data.sampling': ('Sampling', 'undersample'),
    'raki.data.scan': ('Scan', 'ScanFile'),
    'raki.data.simulate': ('Simulation', 'simulate'),
    'raki.data.simulate_volume': ('VolumeSimulation', 'simulate_volume'),
    'raki.data.volume': ('Volume',),
    'raki.errors': ('CalibrationError', 'ResourceError', 'SamplingError', 'ScanError', 'TrainingError'),
    'raki.grappa.method': ('Grappa',),
    'raki.interpolation.fit': ('Interpolator', 'Method', 'fit'),
    'raki.networks.iterative': ('IterativeRaki',),
    'raki.interpolation.kernel': ('Kernel',),
    'raki.networks.raki': ('RAKI_2019', 'RAKI_COMPLEX', 'Raki'),
    'raki.pipeline': ('Reconstruction', 'reconstruct'),
    'raki.networks.recommended': ('GatedRaki',),
    'raki.networks.residual': ('ResidualRaki',),
    'raki.interpolation.volume': ('VolumeInterpolator', 'fit_volume'),
    'raki.volume_pipeline': ('reconstruct_volume',),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    'RAKI_2019',
    'RAKI_COMPLEX',
    'CalibrationError',
    'CoilTransform',
    'DatasetLayout',
    'GatedRaki',
    'Grappa',
    'Interpolator',
    'IterativeRaki',
    'Kernel',
    'Lattice',
    'Method',
    'Raki',
    'Reconstruction',
    'ResidualRaki',
    'ResourceError',
    'Sampling',
    'SamplingError',
    'Scan',
    'ScanError',
    'ScanFile',
    'Simulation',
    'TrainingError',
    'Volume',
    'VolumeInterpolator',
    'VolumeSampling',
    'VolumeSimulation',
    'coil_transform',
    'fit',
    'fit_volume',
    'load_scan',
    'load_volume',
    'open_scan',
    'reconstruct',
    'reconstruct_volume',
    'simulate',
    'simulate_volume',
    'undersample',
    'undersample_volume',
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
