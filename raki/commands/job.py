"""What is asked of a reconstruction, once it is known that it can be done."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from raki.commands.catalogue import METHODS, known, method_named, with_settings
from raki.commands.inputs import seed_for
from raki.commands.settings import Settings
from raki.data.damage.examine import POLICIES
from raki.data.damage.holes import known_nan
from raki.data.scan import Scan
from raki.grappa.method import Grappa
from raki.interpolation.calibration import Method
from raki.interpolation.fit import ZeroFilling
from raki.interpolation.settings import with_setting
from raki.partial_fourier.methods import PARTIAL_FOURIER
from raki.pipeline import COMBINATIONS

CLOSED = {name: method for name, method in METHODS.items() if not hasattr(method, 'with_iterations')}
"""Methods that are not trained."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with a file, once it is known that it can be done.

    Raises
    ------
    ValueError
        If there is no such method, combination, or way to complete partial Fourier, the method has no setting
        that is asked for, g-factors of a method that is not linear are, or the fallback does not go with the rest.
    """

    settings: Settings
    device: torch.device = torch.device('cpu')
    """Where to compute."""

    def __post_init__(self) -> None:
        asked, method = self.settings, self.prepared
        known(COMBINATIONS, asked.combine, 'combination')
        known(PARTIAL_FOURIER, asked.partial_fourier, 'partial Fourier')
        known(POLICIES, asked.spikes, 'way to treat spikes')
        known_nan(asked.nan)
        for name, each in ((asked.method, method), (asked.fallback, self.fallback)):
            if asked.gfactor and name and not isinstance(each, Grappa | ZeroFilling):
                raise ValueError(f'g-factors of {name} need replicas: use raki compare, or --method grappa')

    @property
    def prepared(self) -> Method:
        """The method with the seed, if it has one, and with the settings."""
        asked = self.settings
        found = with_settings({asked.method: method_named(asked.method)}, asked.calibration, asked.faithful)
        return with_setting(found[asked.method], 'seed', seed_for(asked.seed))

    @property
    def fallback(self) -> Method | None:
        """What fills in where the method fails, with those settings that it has; None for nothing."""
        asked = self.settings
        if asked.fallback is None:
            return None
        found = known(CLOSED, asked.fallback, 'fallback')
        if asked.fallback == asked.method:
            raise ValueError(f'--fallback {asked.fallback} is --method {asked.method}, too: choose another one')
        if asked.fit is not None:
            raise ValueError('--fallback is for what fails to learn, and --fit learns nothing: leave one of them out')
        settings = {'calibration': asked.calibration, 'faithful': asked.faithful, 'seed': seed_for(asked.seed)}
        for name, value in settings.items():
            found = found if value is None else with_setting(found, name, value)
        return found

    @property
    def options(self) -> dict[str, Any]:
        """What `raki.pipeline.reconstruct` is to know beside scan and method."""
        asked = self.settings
        around = {'combine': COMBINATIONS[asked.combine], 'partial_fourier': PARTIAL_FOURIER[asked.partial_fourier]}
        return {'device': self.device, 'coils': asked.coils, 'spikes': POLICIES[asked.spikes], **around}

    def seen(self, scan: Scan) -> Scan:
        """The scan as far as it is to be looked at."""
        if not self.settings.whiten:
            scan = replace(scan, noise=None)
        if not self.settings.crop and scan.image_shape is not None:
            scan = replace(scan, image_shape=(*scan.image_shape[:-2], *scan.kspace.shape[-2:]))
        return scan
