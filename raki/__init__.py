"""Scan-specific reconstruction of undersampled multi-coil k-space: RAKI and its linear baseline GRAPPA.

The names in `__init__.pyi` are loaded when they are first used, so that `raki --help` does not wait for torch.
"""

from importlib.metadata import version as _version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = _version('raki')
