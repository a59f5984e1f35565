"""Every method on a device that is not the CPU: tensors stay together, and bits are the CPU's."""

import pytest
import torch

from raki.interpolation.fit import Method, fit
from tests.pretended import elsewhere, here, pretending
from tests.toys import METHODS, acs_of, lattice_with_acs, point_sources, random_kspace

FULL = point_sources(9, 4, 54, 31) + 0.1 * random_kspace(4, 54, 31)


@pytest.mark.parametrize('method', [pytest.param(method, id=name) for name, method in METHODS.items()])
def test_a_method_gives_the_bits_of_the_cpu_on_another_device(method: Method) -> None:
    sampling = lattice_with_acs(54, 3, 1, range(15, 40))
    expected = fit(method, acs_of(FULL, sampling), sampling, FULL).fill(FULL)
    with pretending():
        there = elsewhere(FULL)
        filled = here(fit(method, acs_of(there, sampling), sampling, there).fill(there))
    assert torch.equal(filled, expected)


def test_mixing_devices_is_noticed() -> None:
    with pretending(), pytest.raises(RuntimeError, match='expected all tensors to be on the same device'):
        elsewhere(FULL) + FULL
