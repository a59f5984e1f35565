"""Damage that samples show is told with its place; what is true, however odd, is not called damage."""

import re
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

from raki.cli import main
from raki.commands.catalogue import method_named
from raki.data.damage.examine import dropped, kept, warned
from raki.data.damage.spikes import factor_for
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.errors import ScanError
from raki.fourier import image_from_kspace, kspace_from_image
from raki.pipeline import reconstruct
from tests.toys import attributes, point_sources, random_kspace

CPU = torch.device('cpu')


def undersampled(matrix: tuple[int, ...] = (48, 40), *, noise: float = 0.01) -> Scan:
    """Every third line, and sixteen in the middle; of a volume every second along both axes."""
    full = simulate(Simulation(matrix, 4, noise=noise))
    rate, acs = ((3,), (16,)) if len(matrix) == 2 else ((2, 2), (8, 10))
    mask = undersample(full.mask, rate, acs).mask
    return replace(full, kspace=torch.where(mask[..., None], full.kspace, 0), mask=mask, reference=None)


def findings(kspace: Tensor, mask: Tensor | None = None, noise: Tensor | None = None) -> tuple[str, ...]:
    """What is said of a slab, by default one that is fully sampled."""
    return warned(kspace, torch.ones(kspace.shape[1:-1], dtype=torch.bool) if mask is None else mask, noise).findings


def test_chance_decides_how_far_a_sample_may_stand_out() -> None:
    """The law of the docstring by simulation: of samples of equal power, for a factor that chance exceeds often."""
    power = torch.empty(200_000, 3, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(1))
    exceeds = (power[:, 0] > 2**2 * power[:, 1:].amax(1)).double().mean()
    assert float(exceeds) == pytest.approx(1 / (1 + 4) * 2 / (2 + 4), rel=0.05)
    assert factor_for(24) == 5
    assert factor_for(8) == pytest.approx(10.8, rel=0.05)
    assert factor_for(5) > factor_for(8) > factor_for(14)


@pytest.mark.parametrize('matrix', [(48, 40), (16, 24, 20)])
@pytest.mark.parametrize('rate', [1, 3])
def test_a_spike_is_told_with_coil_line_and_sample(matrix: tuple[int, ...], rate: int) -> None:
    scan = undersampled(matrix) if rate > 1 else simulate(Simulation(matrix, 4, noise=0.01))
    kspace, line = scan.kspace[0].clone(), scan.mask.nonzero()[-3].tolist()
    kspace[(2, *line, 7)] = float(kspace.abs().max()) / 2
    [text] = findings(kspace, scan.mask)
    place = f'coil 2, line {line[0]}, sample 7' if len(line) == 1 else f'coil 2, partition {line[0]}, line {line[1]}'
    assert place in text
    assert '--spikes drop' in text


def test_a_spark_in_all_coils_is_told_but_not_the_peak_of_the_object() -> None:
    """An object that fills the field of view has a peak of one sample; the same one far from the centre is a spark."""
    image = torch.ones(4, 40, 32, dtype=torch.complex64) * torch.tensor([1, 0.2, 0.5j, 0.8])[:, None, None]
    kspace = kspace_from_image(image) + 0.01 * random_kspace(4, 40, 32)
    assert findings(kspace) == ()
    scan = simulate(Simulation((40, 32), 4, noise=0.01))
    kspace = scan.kspace[0].clone()
    kspace[:, 3, 5] = kspace.abs().amax((1, 2)) / 5
    [text] = findings(kspace)
    assert 'line 3, sample 5' in text


def test_one_coil_far_above_all_others_near_the_centre_is_damage() -> None:
    kspace = simulate(Simulation((40, 32), 4, noise=0.01)).kspace[0].clone()
    kspace[1, 20, 17] *= 1e4
    with pytest.raises(ScanError, match=r'coil 1, line 20, sample 17 is as large as all others.*--spikes drop'):
        findings(kspace)


@pytest.mark.parametrize('phantom', ['head', 'bars', 'compartments'])
@pytest.mark.parametrize('noise', [0, 0.003, 0.1])
def test_simulations_are_not_suspected(phantom: str, noise: float) -> None:
    scan = simulate(Simulation((64, 48), 5, noise=noise, phantom=phantom))
    for rate in (1, 2, 4, 6):
        mask = undersample(scan.mask, (rate,), (16,)).mask
        assert findings(torch.where(mask[:, None], scan.kspace[0], 0), mask, scan.noise) == ()


@pytest.mark.parametrize('n_levels', [1, 3, 20])
def test_whole_numbers_of_few_levels_are_not_suspected(n_levels: int) -> None:
    """Zeros in a row, and largest values that come back, are their nature."""
    kspace = 0.4 * n_levels * random_kspace(3, 50, 44)
    assert findings(torch.complex(kspace.real.round(), kspace.imag.round())) == ()


def test_noise_points_and_few_lines_are_not_suspected() -> None:
    for kspace in (
        random_kspace(4, 60, 50),
        random_kspace(2, 3, 40),
        point_sources(1, 3, 20, 16),
        random_kspace(1, 9, 5),
    ):
        assert findings(kspace) == ()


@pytest.mark.parametrize('along', ['readout', 'lines'])
def test_a_lost_block_is_told_and_ends_of_an_asymmetric_echo_are_not(along: str) -> None:
    scan = undersampled()
    kspace = scan.kspace[0].clone()
    kspace[..., :9] = 0
    kspace[3] = 0
    assert findings(kspace, scan.mask) == ()
    lines = scan.mask.nonzero().flatten()
    if along == 'readout':
        kspace[1, lines[4], 20:24] = 0
    else:
        kspace[1, lines[4:8], 20] = 0
    [text] = findings(kspace, scan.mask)
    assert text.startswith('4 samples of k-space are exactly zero')
    assert f'coil 1, line {int(lines[4])}, sample 20' in text


def test_noise_clipping_and_constant_coils_are_told() -> None:
    scan = simulate(Simulation((40, 32), 4, noise=0.01))
    assert scan.noise is not None
    kspace, noise = scan.kspace[0].clone(), scan.noise.clone()
    noise[2, 33] *= 1000
    [text] = findings(kspace, noise=noise)
    assert 'coil 2, sample 33' in text
    values = torch.view_as_real(kspace[1])
    values.clamp_(-float(values.abs().max()) / 4, float(values.abs().max()) / 4)
    kspace[3] = torch.full_like(kspace[3], 1 + 2j)
    clipped, constant = findings(kspace)
    assert 'coil 1 holds its largest value' in clipped
    assert 'coil 3 holds the same value in every sample' in constant
    [other_units] = findings(scan.kspace[0], noise=1e4 * scan.noise)
    assert 'the noise samples of all coils are larger than k-space itself' in other_units


def test_dropping_brings_the_clean_image_back() -> None:
    scan = undersampled()
    lines, kspace = scan.mask.nonzero().flatten(), scan.kspace.clone()
    kspace[0, 1, lines[3], 11] = 3e4 * kspace.abs().max()
    kspace[0, 2, 24, 18:23] = 0
    damaged, grappa = replace(scan, kspace=kspace), method_named('grappa')
    clean = reconstruct(scan, grappa, device=CPU)
    with pytest.raises(ScanError, match='as large as all others'):
        reconstruct(damaged, grappa, device=CPU)
    mended = reconstruct(damaged, grappa, device=CPU, spikes=dropped)
    assert (mended.image - clean.image).norm() < 0.02 * clean.image.norm()
    assert len(mended.warnings) == 2
    raw = reconstruct(damaged, grappa, device=CPU, spikes=kept)
    assert (raw.image - clean.image).norm() > 10 * clean.image.norm()
    assert raw.findings == clean.findings == ()


@pytest.mark.parametrize(('line', 'most'), [(24, 0.05), (29, 0.3), (31, 0.85), (36, 1.1), (12, 1.1)])
def test_what_all_coils_lost_is_predicted_where_the_next_line_was_measured(line: int, most: float) -> None:
    """In the ACS, at its end, and between lines three apart, where guessing made images worse than zeros do."""
    scan = undersampled()
    kspace = scan.kspace[0].clone()
    kspace[:, line, 10:30] = 0
    found = dropped(kspace, scan.mask, None)
    after, before = ((each - scan.kspace[0]).norm() for each in (found.kspace, kspace))
    assert after < most * before, float(after / before)
    stays = bool((found.kspace[:, line] == 0).any())
    assert stays == (most > 1)
    assert any('stay zero: all coils lost them' in text for text in found.findings) == stays


def test_undamaged_samples_stay_bit_for_bit_and_arguments_unchanged() -> None:
    scan = undersampled()
    kspace = scan.kspace[0].clone()
    kspace[1, 24, 5] = 1e6
    before, mended = kspace.clone(), dropped(kspace, scan.mask, None).kspace
    assert torch.equal(kspace, before)
    changed = (mended != kspace).nonzero().tolist()
    assert changed == [[1, 24, 5]]


def test_the_command_line_warns_drops_and_describes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = undersampled()
    kspace, path, output = scan.kspace[0].clone(), tmp_path / 'scan.h5', tmp_path / 'out.h5'
    kspace[1, int(scan.mask.nonzero()[2]), 5] = kspace.abs().max() / 5
    with h5py.File(path, 'w') as file:
        file['kspace'], file['mask'] = kspace.numpy().swapaxes(-1, -2)[None], scan.mask.numpy()
    common = ['reconstruct', str(path), '-o', str(output), '--method', 'grappa', '--device', 'cpu']
    assert main(common) == 0
    assert 'coil 1, line 6, sample 5' in capsys.readouterr().err
    assert main([*common, '--spikes', 'drop']) == 0
    assert 'replaced by what their neighbours predict' in capsys.readouterr().err
    assert main([*common, '--spikes', 'keep']) == 0
    assert 'stand out' not in capsys.readouterr().err
    assert main([*common, '--spikes', 'no']) == 2
    capsys.readouterr()
    assert main(['info', str(path), '--json']) == 0
    assert 'stand out from all around' in capsys.readouterr().out
    assert attributes(output)


def with_block(kspace: Tensor, target: int, source: int, *, is_exchanged: bool, size: int = 192) -> Tensor:
    """K-space with a block of samples, as they follow one another in a file, in the place of another."""
    changed = kspace.clone(memory_format=torch.contiguous_format)
    changed.view(-1)[target : target + size] = kspace.reshape(-1)[source : source + size]
    if is_exchanged:
        changed.view(-1)[source : source + size] = kspace.reshape(-1)[target : target + size]
    return changed


@pytest.mark.parametrize('source', [3000, 1920 + 17, 2 * 1920 + 800])
def test_a_block_that_occurs_twice_is_told(source: int) -> None:
    """Also in whole numbers of few levels, and when only a part of it was measured."""
    scan = undersampled()
    kspace = with_block(scan.kspace[0], 1920 - 1000, source, is_exchanged=False)
    kspace = torch.where(scan.mask[:, None], kspace, 0)
    assert any('occur twice' in text for text in findings(kspace, scan.mask))
    step = kspace.abs().max() / 5000
    assert any(
        'occur twice' in text
        for text in findings(torch.view_as_complex(torch.view_as_real(kspace / step).round()), scan.mask)
    )


def test_one_coil_stored_twice_and_whole_numbers_of_few_levels_are_no_repetition() -> None:
    kspace = simulate(Simulation((48, 40), 4, noise=0.1)).kspace[0].clone()
    assert findings(torch.cat([kspace, kspace[2:3]])) == ()
    assert findings(torch.cat([kspace, kspace[2:3], torch.zeros_like(kspace[:2])])) == ()
    coarse = torch.view_as_complex(torch.view_as_real(kspace / kspace.abs().max() * 40).round())
    assert torch.view_as_real(coarse).unique(dim=0).shape[0] < coarse.numel() / 10
    assert findings(coarse) == ()


def test_how_rare_a_repetition_is_follows_from_the_levels() -> None:
    """The law of the docstring by simulation: two rounded samples of noise agree with 1 / (4 pi s^2)."""
    values = 2 * torch.randn(2, 2, 400_000, generator=torch.Generator().manual_seed(4))
    agreeing = (values.round()[0] == values.round()[1]).all(0).double().mean()
    assert float(agreeing) == pytest.approx(1 / (4 * torch.pi * 2**2), rel=0.05)


@pytest.mark.parametrize('matrix', [(48, 40), (16, 24, 20)])
def test_blocks_of_two_places_that_were_exchanged_are_told_and_partly_mended(matrix: tuple[int, ...]) -> None:
    scan = simulate(Simulation(matrix, 8, noise=0.01))
    clean = scan.kspace[0]
    size = clean[0].numel()
    centre = size + int(clean[1].abs().argmax())
    kspace = with_block(clean, centre - 96, 3 * size + 200, is_exchanged=True)
    found = dropped(kspace, scan.mask, None)
    [text] = found.findings
    assert re.search('not what the other coils hold there.*coil [13],', text)
    assert (found.kspace - clean).norm() < 0.9 * (kspace - clean).norm()


def test_coils_of_any_gain_and_a_coil_that_the_others_do_not_see_are_no_damage() -> None:
    scan = undersampled()
    kspace = scan.kspace[0].clone()
    assert findings(kspace * torch.tensor([1, 1e-4, 1e2, 1])[:, None, None], scan.mask) == ()
    kspace[2] = kspace[2].flip(1)
    assert findings(kspace, scan.mask) == ()


def order_of(kspace: Tensor) -> str:
    """What is said of a slab."""
    return '; '.join(findings(kspace))


@pytest.mark.parametrize('phantom', ['head', 'compartments'])
def test_samples_in_another_order_are_told(phantom: str) -> None:
    """DC at index 0 along any axis, images, real parts alone, and lines read backwards, each named as what it is."""
    kspace = simulate(Simulation((48, 40), 6, noise=0.01, phantom=phantom)).kspace[0]
    assert order_of(kspace) == ''
    assert 'along the readout is largest around index 0' in order_of(torch.fft.ifftshift(kspace, dim=-1))
    assert 'along the lines is largest around index 0' in order_of(torch.fft.ifftshift(kspace, dim=-2))
    both = order_of(torch.fft.ifftshift(kspace, dim=(-2, -1)))
    assert 'along the readout and the lines' in both
    assert '--fft unshifted' in both
    assert 'look like an image' in order_of(image_from_kspace(kspace))
    assert 'all imaginary parts of k-space are zero' in order_of(kspace.real + 0j)
    assert 'all real parts of k-space are zero' in order_of(1j * kspace.imag)
    epi, half = kspace.clone(), kspace.clone()
    epi[:, ::2], half[:, :24] = kspace[:, ::2].flip(-1), kspace[:, :24].flip(-1)
    assert 'every second line fits the others' in order_of(epi)
    assert 'one half of the lines fits the others' in order_of(half)
    assert order_of(kspace.flip(-1)) == ''


def test_sparks_on_several_lines_lost_ends_of_lines_and_coils_in_other_units_are_told() -> None:
    scan = undersampled()
    clean, lines = scan.kspace[0], scan.mask.nonzero().flatten()
    sparks, ends = clean.clone(), clean.clone()
    sparks[:, lines[:3], 4] = clean.abs().max() + 0j
    assert 'stand out' in order_of_measured(sparks, scan)
    ends[:, 25, :20] = 0
    assert '80 samples of k-space are exactly zero' in order_of_measured(ends, scan)
    louder = order_of_measured(clean * torch.tensor([1, 1, 1e6, 1])[:, None, None], scan)
    assert 'coil 2 is ' in louder
    assert 'in other units' in louder


def order_of_measured(kspace: Tensor, scan: Scan) -> str:
    return '; '.join(findings(kspace, scan.mask))


def test_corners_that_were_never_measured_are_not_lost() -> None:
    """Of k-space within a circle, lines further out are shorter."""
    kspace = simulate(Simulation((48, 40), 4, noise=0.01)).kspace[0]
    y, x = torch.linspace(-1, 1, 48)[:, None], torch.linspace(-1, 1, 40)
    assert findings(torch.where(y**2 + x**2 < 1.2, kspace, 0)) == ()
