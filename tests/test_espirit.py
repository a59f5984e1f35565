"""Sensitivities from the ACS: the matrices at every pixel, a known answer, and another package's."""

import pytest
import torch

from raki.coils.espirit import espirit_maps, patches, per_pixel
from raki.data.simulate import Simulation, simulate
from raki.evaluation.metrics import object_mask
from raki.fourier import centre_crop, image_from_kspace, kspace_from_image
from tests.toys import random_kspace


@pytest.mark.parametrize('shape', [(12, 9), (11, 14), (5, 6, 7)])
@pytest.mark.parametrize('size', [2, 3])
def test_matrices_at_pixels_give_the_energy_of_all_patches_around_the_edges(shape: tuple[int, ...], size: int) -> None:
    """The sum over pixels of x^H M x against the sum of p^H Q p over patches cut out one by one."""
    n_coils, kspace, sizes = 3, random_kspace(3, *shape), (size, *(3,) * (len(shape) - 1))
    root = random_kspace(n_coils * torch.Size(sizes).numel(), 4, seed=1).to(torch.complex128)
    wrapped = kspace
    for axis, side in enumerate(sizes, start=1):
        wrapped = torch.cat([wrapped, wrapped.narrow(axis, 0, side - 1)], axis)
    every = patches(wrapped, sizes)
    assert every.shape == (len(root), torch.Size(shape).numel())
    matrices = per_pixel(root @ root.mH, n_coils, sizes, shape)
    images = image_from_kspace(kspace, tuple(range(-len(shape), 0))).movedim(0, -1)[..., None]
    energy = float((images.mH @ matrices @ images).sum().real)
    assert energy == pytest.approx(float((root.mH @ every).abs().square().sum()), rel=1e-4)


@pytest.mark.parametrize('block', [(24, 24), (10, 30)])
def test_smooth_sensitivities_come_back(block: tuple[int, int]) -> None:
    """Of a few waves across, as ESPIRiT can know them from its kernel; up to a phase that all coils share."""
    shape, n_coils = (40, 48), 4
    smooth = torch.zeros(n_coils, *shape, dtype=torch.complex64)
    centre_crop(smooth, (3, 3)).copy_(random_kspace(n_coils, 3, 3))
    maps = image_from_kspace(smooth)
    images = maps * random_kspace(*shape, seed=2)
    found = espirit_maps(centre_crop(kspace_from_image(images), block), shape, 0.8)
    expected = maps / maps.norm(dim=0)
    assert float((found.conj() * expected).sum(0).abs().min()) > 0.99
    assert float(found[0].imag.abs().max()) < 1e-6


def test_they_are_those_of_sigpy_on_a_square() -> None:
    app = pytest.importorskip('sigpy.mri.app')
    simulated = simulate(Simulation((72, 60), n_coils=6, noise=0.01))
    lines = centre_crop(simulated.kspace[0], (24, 24))
    ours = espirit_maps(lines, (72, 60), 0.8)
    padded = torch.zeros_like(simulated.kspace[0])
    centre_crop(padded, (24, 24)).copy_(lines)
    theirs = torch.from_numpy(app.EspiritCalib(padded.numpy(), crop=0.8, show_pbar=False).run())
    inside = object_mask(image_from_kspace(simulated.kspace[0]).norm(dim=0))
    assert float((ours.any(0) != theirs.any(0))[inside].float().mean()) < 1e-3
    assert float(((ours.conj() * theirs).sum(0).abs()[inside] - 1).abs().max()) < 1e-3


def test_sensitivities_do_not_see_their_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    acs = random_kspace(3, 12, 10)
    whole = espirit_maps(acs, (25, 18), 0.5)
    monkeypatch.setattr('raki.coils.espirit.ELEMENTS_AT_ONCE', 3 * 3 * 18 * 7)
    torch.testing.assert_close(espirit_maps(acs, (25, 18), 0.5), whole)
