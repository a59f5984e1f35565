from .coils.transform import CoilTransform, coil_transform
from .consistency.sparse import Sparse
from .consistency.spirit import Spirit
from .data.generic import DatasetLayout
from .data.lattice import Lattice
from .data.load import load_scan, open_scan
from .data.sampling import Sampling
from .data.scan import Scan, ScanFile
from .data.simulate import Simulation, simulate
from .errors import CalibrationError, ExtraError, ResourceError, SamplingError, ScanError, TrainingError
from .face.arrays import scan_of
from .face.comparison import Comparison
from .face.result import Result
from .fits.stored import Fits
from .grappa.method import Grappa
from .interpolation.calibration import Method
from .interpolation.fit import Interpolator, ZeroFilling
from .interpolation.neighbours import Kernel
from .networks.gated import Gated
from .networks.iterative import IterativeRaki
from .networks.raki import RAKI_2019, RAKI_COMPLEX, Raki
from .networks.residual import ResidualRaki
from .partial_fourier.methods import Homodyne, Pocs
from .pipeline import Reconstruction
from .public import compare, fit, load_fits, reconstruct, save_fits, undersample

__all__ = [
    'RAKI_2019',
    'RAKI_COMPLEX',
    'CalibrationError',
    'CoilTransform',
    'Comparison',
    'DatasetLayout',
    'ExtraError',
    'Fits',
    'Gated',
    'Grappa',
    'Homodyne',
    'Interpolator',
    'IterativeRaki',
    'Kernel',
    'Lattice',
    'Method',
    'Pocs',
    'Raki',
    'Reconstruction',
    'ResidualRaki',
    'ResourceError',
    'Result',
    'Sampling',
    'SamplingError',
    'Scan',
    'ScanError',
    'ScanFile',
    'Simulation',
    'Sparse',
    'Spirit',
    'TrainingError',
    'ZeroFilling',
    'coil_transform',
    'compare',
    'fit',
    'load_fits',
    'load_scan',
    'open_scan',
    'reconstruct',
    'save_fits',
    'scan_of',
    'simulate',
    'undersample',
]
__version__: str
