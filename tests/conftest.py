"""What tests share: real scans where they are at hand, and toy k-space with known answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'data'


@pytest.fixture
def shared_scan() -> Callable[[str], Path]:
    """Path of a real scan beside the project; the test skips where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f'needs the scan {name} in ../shared/data')
        return path

    return find
