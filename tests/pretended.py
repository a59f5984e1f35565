"""A device that is not the CPU, on a machine without a GPU: tensors on it must be kept together, as on a GPU.

Tensors on `pretend:0` compute on the CPU, bit for bit, but mixing them with CPU tensors of one or more axes raises, as
with CUDA. It has no random generator: numbers are drawn on the CPU from the seed and moved, as every device of the
package gets them. `with pretending(): fit(method, elsewhere(acs), ...)`, then `here(...)` of the result.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend('pretend')
DEVICE = torch.device('pretend', 0)
INDEXING = ('aten::index.Tensor', 'aten::index_put')  # CUDA takes CPU indices


class Elsewhere(torch.Tensor):
    """A CPU tensor that says it lives on `pretend:0`."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> 'Elsewhere':
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=DEVICE,
            requires_grad=inner.requires_grad,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.on_cpu = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class Factories(TorchDispatchMode):
    """Inside it, `torch.zeros(..., device=DEVICE)` and the like make pretended tensors, and mixing is noticed."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def pretending() -> Iterator[torch.device]:
    """A place where the device exists."""
    with Factories():
        yield DEVICE


def elsewhere(tensor: torch.Tensor) -> torch.Tensor:
    """A CPU tensor on the device."""
    return Elsewhere(tensor)


def here(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the device on the CPU."""
    assert isinstance(tensor, Elsewhere), f'the result left the device: {tensor.device}'
    return tensor.on_cpu


def _inner(value: Any) -> Any:
    return value.on_cpu if isinstance(value, Elsewhere) else value


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func._schema.name if func._overloadname == 'default' else f'{func._schema.name}.{func._overloadname}'
    tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, torch.Tensor)]
    there = any(isinstance(value, Elsewhere) for value in tensors)
    moved = kwargs.get('device')
    is_copy = func._schema.name in ('aten::_to_copy', 'aten::copy_')
    mixes = any(value.dim() > 0 and not isinstance(value, Elsewhere) for value in tensors)
    if there and mixes and not is_copy and not name.startswith(INDEXING):
        raise RuntimeError(f'{name}: expected all tensors to be on the same device, found cpu and {DEVICE}')
    plain = {
        key: torch.device('cpu') if key == 'device' and value is not None else _inner(value)
        for key, value in kwargs.items()
    }
    out = func(*tree_map(_inner, args), **plain)
    if func._schema.name == 'aten::copy_':
        return args[0]
    goes_there = torch.device(moved).type == 'pretend' if moved is not None else there
    return tree_map(
        lambda x: Elsewhere(x.resolve_conj().resolve_neg()) if isinstance(x, torch.Tensor) and goes_there else x, out
    )


_library = torch.library.Library('aten', 'IMPL')
_library.impl(
    'empty_strided',
    lambda size, stride, dtype=None, **_: Elsewhere(torch.empty_strided(size, stride, dtype=dtype)),
    'PrivateUse1',
)
_library.impl(
    'empty.memory_format', lambda size, dtype=None, **_: Elsewhere(torch.empty(size, dtype=dtype)), 'PrivateUse1'
)


def _copy_from(source: torch.Tensor, target: torch.Tensor, _non_blocking: bool = False) -> torch.Tensor:
    _inner(target).copy_(_inner(source))
    return target


_library.impl('_copy_from', _copy_from, 'PrivateUse1')
