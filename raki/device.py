"""Where to compute, what time it is there, and what is done where its memory does not suffice."""

import gc
import os
import time
from collections.abc import Callable
from typing import TypeVar

import torch

Value = TypeVar('Value')

ON_CPU = 'the GPU has no memory for this: done on the CPU; use --coils, or a GPU with more memory'
"""What a user is told of work that was done anew."""

LACKING = ('out of memory', 'alloc_failed', 'not enough memory')
"""What a GPU's errors say that are of no class of their own, in lower case: of the driver, and of its libraries."""


def choose_device(name: str | None = None) -> torch.device:
    """Take the device of that name, by default the GPU where there is one, else the CPU; ValueError if it is absent."""
    if name is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # some devices compute nothing
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'no device {name!r} on this machine ({str(error).splitlines()[0]}): leave --device out'
        ) from error
    return device


def or_on_cpu(work: Callable[[torch.device], Value], device: torch.device) -> tuple[Value, tuple[str, ...]]:
    """Do some work on a device, or anew on the CPU if a GPU has no memory for it; and what a user must know then."""
    try:
        return work(device), ()
    except RuntimeError as error:
        if device.type == 'cpu' or not _lacks_memory(error):
            raise
    gc.collect()  # not earlier: what failed holds arrays as long as its error is there
    torch.cuda.empty_cache()
    return work(torch.device('cpu')), (ON_CPU,)


def _lacks_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error).lower() for word in LACKING)


def now(device: torch.device) -> float:
    """Seconds of a clock, after everything given to the device before is done."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def cpu_seconds() -> float:
    """CPU time so far, of this process and of programs that it ran and that are over [s]."""
    return sum(os.times()[:4])
