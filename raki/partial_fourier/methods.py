"""How to complete k-space beyond one end of the acquired range, from the other end and the phase of the image.

A real image has a Hermitian k-space: one half tells the other. Images are real up to their phase, and where that varies
slowly, the symmetric part of k-space around DC tells it. A window rounds that part off, for edges ring.

Methods work on every coil image by itself, whose phase is that of the object and of the coil, and give the phase back,
so that coils can be combined in any way afterwards. They are real linear once the phase is known, and all of it scales
and shifts with the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from raki.fourier import image_from_kspace, kspace_from_image
from raki.partial_fourier.acquired import Acquired


class PartialFourier(Protocol):
    """What is done about a missing end of k-space."""

    name: ClassVar[str]
    """As people say it; empty where nothing is done."""

    n_axes: ClassVar[int]
    """Most partial axes that it completes."""

    keeps_measured: ClassVar[bool]
    """Whether k-space comes back with its acquired samples as they were."""

    def __call__(self, kspace: Tensor, acquired: Acquired) -> Tensor:
        """From k-space (..., [kz,] ky, kx) with partial axes to k-space of completed images, same axes."""
        ...


@dataclass(frozen=True, slots=True)
class ZeroFill:
    """The missing end stays zero."""

    name: ClassVar[str] = ''
    n_axes: ClassVar[int] = 0
    keeps_measured: ClassVar[bool] = True

    def __call__(self, kspace: Tensor, acquired: Acquired) -> Tensor:
        """See `PartialFourier`."""
        del acquired
        return kspace


@dataclass(frozen=True, slots=True)
class Homodyne:
    """Homodyne detection: the part of the image in phase with the symmetric part, samples without a partner doubled.

    Weights are a step, not a ramp, so that samples that have both partners count as they were measured. What is out of
    phase is taken away from measured samples, too.

    References
    ----------
    Noll, Nishimura and Macovski 1991, IEEE Trans Med Imaging 10:154 (https://doi.org/10.1109/42.79473).
    """

    name: ClassVar[str] = 'homodyne'
    n_axes: ClassVar[int] = 1
    keeps_measured: ClassVar[bool] = False

    def __call__(self, kspace: Tensor, acquired: Acquired) -> Tensor:
        """See `PartialFourier`; along one axis."""
        [axis] = acquired.partial
        others = tuple(each for each in acquired.axes if each != axis)
        hybrid = image_from_kspace(kspace, others)
        phase = _phase(image_from_kspace(hybrid * acquired.window([axis]).to(kspace.device), (axis,)))
        detected = image_from_kspace(hybrid * acquired.doubled(axis).to(kspace.device), (axis,))
        return kspace_from_image(_in_phase(detected, phase), acquired.axes)


@dataclass(frozen=True, slots=True)
class Pocs:
    """Projections, in turn, onto images of the known phase and onto k-space with the acquired samples.

    Both sets are linear. On images of phase zero, every iteration halves the error. There is no transition between
    samples that were acquired, which all come back as they were, and those that were completed.

    References
    ----------
    Haacke, Lindskog and Lin 1991, J Magn Reson 92:126 (https://doi.org/10.1016/0022-2364(91)90253-P).
    """

    n_iterations: int = 16
    """Leave 2^-16 of the error on images of phase zero."""

    name: ClassVar[str] = 'POCS'
    n_axes: ClassVar[int] = 3
    keeps_measured: ClassVar[bool] = True

    def __call__(self, kspace: Tensor, acquired: Acquired) -> Tensor:
        """See `PartialFourier`. Axes that are not partial stay in the image, where the phase is projected on."""
        partial = acquired.partial
        others = tuple(each for each in acquired.axes if each not in partial)
        held, missing, window = (
            each(partial).to(kspace.device) for each in (acquired.held, acquired.missing, acquired.window)
        )
        hybrid = torch.where(held, image_from_kspace(kspace, others) if others else kspace, 0)
        phase, completed = _phase(image_from_kspace(hybrid * window, partial)), hybrid
        for _ in range(self.n_iterations):
            projected = _in_phase(image_from_kspace(completed, partial), phase)
            completed = torch.where(missing, kspace_from_image(projected, partial), hybrid)
        completed = kspace_from_image(completed, others) if others else completed
        return torch.where(acquired.missing(acquired.axes).to(kspace.device), completed, kspace)


PARTIAL_FOURIER: Mapping[str, PartialFourier] = {'zero-fill': ZeroFill(), 'homodyne': Homodyne(), 'pocs': Pocs()}
"""All, by the names of the command line."""


def _phase(image: Tensor) -> Tensor:
    """Numbers of magnitude 1 with the phase of an image; 1 where that is zero."""
    return torch.polar(torch.ones_like(image.real), image.angle())


def _in_phase(image: Tensor, phase: Tensor) -> Tensor:
    """Keep what has this phase, or the opposite one."""
    return phase * (image * phase.conj()).real
