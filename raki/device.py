"""Where to compute, and what time it is there."""

import os
import time

import torch


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


def now(device: torch.device) -> float:
    """Seconds of a clock, after everything given to the device before is done."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def cpu_seconds() -> float:
    """CPU time so far, of this process and of programs that it ran and that are over [s]."""
    return sum(os.times()[:4])
