"""On what a benchmark ran: what decides how long things take, and nothing that tells whose machine it is."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

CPU_INFO = Path('/proc/cpuinfo')
"""Where Linux names the processor."""


def machine(device: torch.device) -> dict[str, Any]:
    """Processor, cores, threads and device."""
    return {
        'processor': processor(),
        'system': platform.system(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'threads_of_programs': os.environ.get('OMP_NUM_THREADS', 'as many as they like'),
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type,
    }


def processor() -> str:
    """Name of the processor, as the system tells it."""
    try:
        lines = CPU_INFO.read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return next(iter(names), '') or platform.processor() or platform.machine()


def load() -> float | None:
    """Programs that want to compute, on average of the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 1) if hasattr(os, 'getloadavg') else None
