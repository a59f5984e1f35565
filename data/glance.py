"""What people see of an object at a glance: one line, and in Jupyter a small table with a picture."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from raki.data.images.grey import encoded
from raki.data.masks import Irregular, pattern_of
from raki.data.sampling import Sampling
from raki.errors import ScanError
from raki.fourier import cropped, image_from_kspace
from raki.magnitude import in_unit, unit_of

LARGEST_SIDE = 192
"""Of a picture; a larger image is averaged over squares of pixels [pixel]."""

SHOWN_SIDE = 160
"""Height of a picture on the page [px]."""

WINDOW = 0.999
"""White is this quantile of the image; black is 0."""

UNFILLED = 'the middle slice, nothing filled in'
"""What is seen of a scan."""

HTML = '<div style="display:flex;gap:1em;align-items:center">{picture}<div><b>{name}</b><br>{facts}{more}</div></div>'


Seen = tuple[Sequence[str], Tensor]
"""What is found by looking closer: further facts, and an image (y, x)."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What is said of an object in few words."""

    name: str
    """What it is."""
    facts: Sequence[str]
    """In the order of interest."""
    look: Callable[[], Seen] | None = None
    """Looks closer, where there is a page to show it; may raise a ScanError or an OSError, which is then shown."""
    about: str = ''
    """What the image shows."""
    more: Sequence[str] = ()
    """Sentences that stand below."""

    def __str__(self) -> str:
        return f'{self.name}({", ".join(self.facts)})'

    @property
    def html(self) -> str:
        """All of it, beside a picture."""
        try:
            facts, image = ((), None) if self.look is None else self.look()
        except (ScanError, OSError) as error:
            return self._html('', self.facts, (str(error), *self.more))
        picture = '' if image is None else shown(picture_of(image), self.about)
        return self._html(picture, (*self.facts, *facts), self.more)

    def _html(self, picture: str, facts: Sequence[str], more: Sequence[str]) -> str:
        return HTML.format(
            picture=picture,
            name=escape(self.name),
            facts='<br>'.join(map(escape, facts)),
            more=f'<small><br>{"<br>".join(map(escape, more))}</small>' if more else '',
        )


class Glimpsed:
    """An object that is shown at a glance, as text and in Jupyter, and never with its arrays."""

    __slots__ = ()

    @property
    def glance(self) -> Glance:
        """What is said of it in few words."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return str(self.glance)

    def _repr_html_(self) -> str:
        return self.glance.html


def shown(picture: bytes, about: str, side: int = SHOWN_SIDE) -> str:
    """Put a PNG file into a page, so high [px]."""
    where = f'data:image/png;base64,{b64encode(picture).decode()}'
    return f'<img src="{where}" alt="{escape(about)}" style="height:{side}px">'


def matrix_of(shape: Sequence[int]) -> list[str]:
    """Say the size of k-space, axes (slab, coil, ky, kx) or (slab, coil, kz, ky, kx)."""
    slabs, n_coils, *matrix = shape
    what = 'slice' if len(matrix) == 2 else 'volume'
    names = ('kz', 'ky', 'kx')[-len(matrix) :]
    return [
        f'{slabs} {what}{"s" * (slabs > 1)}',
        f'{n_coils} coil{"s" * (n_coils > 1)}',
        ' x '.join(f'{name} {size}' for name, size in zip(names, matrix, strict=True)),
    ]


def sampling_of(mask: Tensor, calibration: Tensor | None = None) -> list[str]:
    """Say which lines were measured, boolean (ky,) or (kz, ky): how many, R, and the size of the ACS.

    That may have been measured separately, axes (slab, coil, ky, kx) or (slab, coil, kz, ky, kx).
    """
    if bool(mask.all()):
        return ['fully sampled']
    pattern, n_lines = pattern_of(mask.cpu()), int(mask.sum())
    if isinstance(pattern, Sampling):
        rate = str(pattern.lattice).replace('R=', 'R = ')
    elif isinstance(pattern, Irregular):
        rate = f'no lattice, R_net = {pattern.net_acceleration:.2f}'
    else:
        rate = f'gaps that differ, R_net = {pattern.net_acceleration:.2f}'
    sizes = [len(side) for side in pattern.acs] if calibration is None else list(calibration.shape[2:-1])
    acs = f'{"separate " * (calibration is not None)}ACS {" x ".join(map(str, sizes))}' if all(sizes) else 'no ACS'
    return [f'{n_lines} of {mask.numel()} lines', rate, acs]


def picture_of(image: Tensor, side: int = LARGEST_SIDE) -> bytes:
    """A small PNG file of a magnitude image, axes (y, x), with at most so many pixels along its longer side."""
    values = image.detach().cpu().float().nan_to_num(0.0, 0.0, 0.0)
    factor = -(-max(values.shape) // side)
    small = avg_pool2d(values[None], factor, ceil_mode=True)[0] if factor > 1 else values
    ordered = small.flatten().sort().values
    white = float(ordered[round(WINDOW * (len(ordered) - 1))]) or 1.0
    return encoded((small / white).clamp(0, 1).mul(255).round().byte().numpy(), {})


def measured_image(kspace: Tensor, mask: Tensor, image_shape: Sequence[int] | None) -> Tensor:
    """Image (y, x) of the measured lines of a slab (coil, [kz,] ky, kx), root sum of squares, in an arbitrary unit.

    Of a volume it is the middle partition.
    """
    measured = torch.where(mask.to(kspace.device)[..., None], kspace, 0)
    if measured.ndim == 4:  # the middle voxel along z has no phase, so that it is the sum over kz
        measured = in_unit(measured, unit_of(measured)).sum(1)
    coils = image_from_kspace(in_unit(measured, unit_of(measured)))
    return cropped(coils.abs().square().sum(0).sqrt(), None if image_shape is None else tuple(image_shape[-2:]))
