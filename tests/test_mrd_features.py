"""What scanners and converters write beside plain lines: in memory, as twix files and streams are translated to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from raki.coils.combine import root_sum_of_squares
from raki.commands.info import describe
from raki.data.load import load_scan
from raki.data.mrd.acquisitions import Acquisitions, HeldSamples
from raki.data.mrd.description import Description, header_xml
from raki.data.mrd.header import Encoding, Header, Space, header_from
from raki.data.mrd.layout import ACQUISITION, bit
from raki.data.mrd.scan import scan_file_of
from raki.data.place import Frame
from raki.data.scan import ScanFile
from raki.data.simulate import Simulation, simulate
from raki.errors import ScanError
from raki.fourier import image_from_kspace, kspace_from_image, without_oversampling
from raki.interpolation.fit import ZeroFilling
from raki.partial_fourier.methods import PARTIAL_FOURIER
from raki.pipeline import reconstruct
from tests.toys import random_kspace

N_COILS, N_LINES, N_SAMPLES = 3, 20, 16
FULL = random_kspace(N_COILS, N_LINES, N_SAMPLES)


def space(x: int = N_SAMPLES, y: int = N_LINES, z: int = 1, *, pixel: float = 0.01) -> Space:
    return Space((x, y, z), (x * pixel, y * pixel, z * pixel))


PLAIN = Encoding(space(), space(), calibration_mode='separate')


@dataclass(frozen=True)
class Line:
    """One acquisition."""

    samples: Tensor
    ky: int
    flags: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)

    @property
    def head(self) -> np.ndarray:
        head = np.zeros((), ACQUISITION)
        head['active_channels'], head['number_of_samples'] = self.samples.shape
        head['center_sample'] = self.samples.shape[1] // 2
        head['flags'] = sum(int(bit(flag)) for flag in self.flags)
        head['idx']['kspace_encode_step_1'] = self.ky
        for name, value in self.fields.items():
            head[name] = value
        for name, value in self.counters.items():
            head['idx'][name] = value
        return head


def line(ky: int, *flags: str, source: Tensor = FULL, **fields: Any) -> Line:
    """Row ky of a k-space; a field that is no field of the header is a counter."""
    own = {name: value for name, value in fields.items() if name in (ACQUISITION.names or ())}
    return Line(source[:, ky], ky, flags, own, {name: value for name, value in fields.items() if name not in own})


def acquisitions(lines: Sequence[Line]) -> Acquisitions:
    samples = [np.ascontiguousarray(each.samples.numpy()) for each in lines]
    return Acquisitions(np.stack([each.head for each in lines]), HeldSamples(samples), 'scan')


def opened(lines: Sequence[Line], *encodings: Encoding, header: Header | None = None, **others: Any) -> ScanFile:
    header = replace(header or Header(()), encodings=encodings or (PLAIN,))
    return scan_file_of(header, acquisitions(lines), 'scan', 'lines in memory', **others)


EVERY = [line(ky) for ky in range(N_LINES)]
HALF = EVERY[::2]


def test_a_reversed_readout_is_turned_around_its_echo() -> None:
    """Sample s of n lies at n - 1 - s, so an echo at sample 5 lies at n - 6: samples run from 16 // 2 - (n - 6)."""
    n = 12
    kept = FULL[:, :, 2:14]
    lines = [Line(kept[:, ky].flip(-1), ky, ('reversed',), {'center_sample': 5}) for ky in range(N_LINES)]
    scan = opened(lines).read()
    assert torch.equal(scan.kspace[0, ..., 8 - (n - 6) :][..., :n], kept)
    assert not bool(scan.kspace[0, ..., :2].any() | scan.kspace[0, ..., 14:].any())


def test_what_is_discarded_of_a_reversed_readout_is_at_the_ends_that_were_measured_first_and_last() -> None:
    lines = [
        Line(FULL[:, ky].flip(-1), ky, ('reversed',), {'center_sample': 7, 'discard_pre': 3, 'discard_post': 1})
        for ky in range(N_LINES)
    ]
    scan = opened(lines).read()
    assert torch.equal(scan.kspace[0, ..., 1:13], FULL[..., 1:13])
    assert not bool(scan.kspace[0, ..., :1].any() | scan.kspace[0, ..., 13:].any())


def test_averages_are_divided_by_how_often_each_line_was_measured() -> None:
    lines = [
        line(ky, source=(1 + average) * FULL, average=average) for ky in range(N_LINES) for average in range(1 + ky % 3)
    ]
    file = opened(lines)
    mean = torch.tensor([1.0, 1.5, 2.0])[torch.arange(N_LINES) % 3]
    torch.testing.assert_close(file.read().kspace[0], mean[:, None] * FULL)
    assert any('mean of 1 to 3 averages' in note for note in file.notes)


def test_noise_has_the_variance_of_a_mean_of_averages() -> None:
    noise = random_kspace(N_COILS, 1, 64, seed=3)
    lines = [line(ky, average=average) for ky in range(N_LINES) for average in range(4)]
    scan = opened([Line(noise[:, 0], 0, ('noise',)), *lines]).read()
    assert scan.noise is not None
    torch.testing.assert_close(scan.noise, noise[:, 0] / 2)


def test_the_same_line_in_two_segments_is_averaged_and_without_any_difference_refused() -> None:
    assert torch.equal(opened([*EVERY, line(4, segment=1)]).read().kspace[0], FULL)
    with pytest.raises(ScanError, match='line 4 was measured twice with the same counters'):
        opened([*EVERY, line(4)]).read()


def test_repetitions_contrasts_phases_and_sets_are_frames() -> None:
    labels = [{'repetition': 1}, {'contrast': 2}, {'phase': 3}, {'set': 1, 'contrast': 2}]
    lines = [
        line(ky, source=(number + 1) * FULL, **own)
        for number, own in enumerate(labels)
        for ky in range(number, N_LINES)
    ]
    file = opened(lines)
    assert set(file.frames) == {Frame(**own) for own in labels}
    for number, own in enumerate(labels):
        scan = file.read(frame=list(file.frames).index(Frame(**own)))
        torch.testing.assert_close(scan.kspace[0, :, number:], (number + 1) * FULL[:, number:])
        assert int(scan.mask.sum()) == N_LINES - number


def test_a_frame_without_all_slices_is_left_out_and_named() -> None:
    places = [(0, 0), (0, 1), (1, 0)]
    lines = [line(ky, repetition=repetition, slice=index) for repetition, index in places for ky in range(N_LINES)]
    file = opened(lines)
    assert (file.shape[0], list(file.frames)) == (2, [Frame()])
    assert 'repetition 1 left out: no lines in slices [1]' in file.notes
    with pytest.raises(ScanError, match=r'has lines in all of the slices \[0, 1\]'):
        opened([line(ky, repetition=own, slice=own) for own in range(2) for ky in range(N_LINES)])


N_PARTITIONS = 4
VOLUME = random_kspace(N_COILS, N_PARTITIONS, N_LINES, N_SAMPLES, seed=5)
SOLID = replace(PLAIN, encoded=space(z=N_PARTITIONS), reconstructed=space(z=N_PARTITIONS))


def volume_lines(factor: float = 1, *flags: str, lines: range = range(N_LINES), **counters: int) -> list[Line]:
    return [
        line(ky, *flags, source=factor * VOLUME[:, kz], kspace_encode_step_2=kz, **counters)
        for kz in range(N_PARTITIONS)
        for ky in lines
    ]


def test_slabs_of_volumes_are_slabs() -> None:
    file = opened([*volume_lines(slice=0), *volume_lines(2, slice=3)], SOLID)
    assert file.shape == (2, N_COILS, N_PARTITIONS, N_LINES, N_SAMPLES)
    torch.testing.assert_close(file.read([1]).kspace[0], 2 * VOLUME)


def test_separate_calibration_of_a_volume_trains_and_is_never_merged() -> None:
    few = volume_lines(5, 'calibration', lines=range(6, 14))
    scan = opened([*volume_lines(lines=range(0, N_LINES, 2)), *few], SOLID).read()
    assert scan.calibration is not None
    torch.testing.assert_close(scan.calibration[0], 5 * VOLUME[:, :, 6:14])
    assert torch.equal(scan.mask, (torch.arange(N_LINES) % 2 == 0).expand(N_PARTITIONS, -1))
    torch.testing.assert_close(scan.kspace[0], VOLUME * scan.mask[..., None])


def shifted(counter: str, ky: int) -> dict[str, Any]:
    return {counter: ky % 2}


@pytest.mark.parametrize('counter', ['repetition', 'phase', 'contrast', 'set'])
def test_interleaved_frames_train_on_their_average(counter: str) -> None:
    """TGRAPPA: two shifted frames, the second measured three times; the mean weighs every line by its count."""
    series = replace(PLAIN, calibration_mode='interleaved', interleaved_over=counter, acceleration=(2, 1))
    lines = [line(ky, **shifted(counter, ky)) for ky in range(N_LINES)]
    lines += [line(ky, source=4 * FULL, **shifted(counter, ky), average=1) for ky in range(1, N_LINES, 2)]
    file = opened(lines, series)
    assert f'the mean over every {counter} trains (interleaved calibration, TGRAPPA)' in file.notes
    mean = torch.where(torch.arange(N_LINES)[:, None] % 2 == 0, FULL, 2.5 * FULL)
    for frame in range(2):
        scan = file.read(frame=frame)
        assert scan.calibration is not None
        torch.testing.assert_close(scan.calibration[0], mean)
        torch.testing.assert_close(scan.kspace[0], mean * scan.mask[:, None])
        assert scan.mask.tolist() == [ky % 2 == frame for ky in range(N_LINES)]


def test_a_reference_in_another_encoding_is_a_block_of_its_own_matrix() -> None:
    """FLASH reference: coarser voxels over the same field of view, so lines lie as far apart; a shorter readout."""
    small = random_kspace(N_COILS, 8, 12, seed=7)
    other = Encoding(Space((12, 8, 1), space().field_of_view), Space((12, 8, 1), space().field_of_view))
    reference = [line(ky, 'calibration', source=small, encoding_space_ref=1) for ky in range(8)]
    file = opened([*HALF, *reference], PLAIN, other)
    scan = file.read()
    assert scan.calibration is not None
    assert torch.equal(scan.calibration[0], small)
    assert 'calibration lines are those of encoding [1], with a matrix of their own' in file.notes


def test_a_reference_over_twice_the_field_of_view_counts_every_second_line_and_half_the_readout() -> None:
    small = random_kspace(N_COILS, 16, 24, seed=8)
    wide = Space((24, 16, 1), (2 * N_SAMPLES * 0.01, 2 * N_LINES * 0.01, 0.01))
    reference = [line(ky, 'calibration', source=small, encoding_space_ref=1) for ky in range(16)]
    scan = opened([*HALF, *reference], PLAIN, Encoding(wide, wide)).read()
    assert scan.calibration is not None
    torch.testing.assert_close(scan.calibration[0], without_oversampling(small[:, ::2], 12))
    uneven = Space((24, 16, 1), (N_SAMPLES * 0.01, 1.5 * N_LINES * 0.01, 0.01))
    with pytest.raises(ScanError, match=r'field of view of 160 x 300 x 10 mm .* not the image\'s 160 x 200 x 10 mm'):
        opened([*HALF, *reference], PLAIN, Encoding(uneven, uneven))


def test_image_lines_of_other_encodings_are_left_out_and_named() -> None:
    file = opened([*EVERY, line(3, source=7 * FULL, encoding_space_ref=1)], PLAIN, PLAIN)
    assert torch.equal(file.read().kspace[0], FULL)
    assert '1 image lines of encoding 1 left out: encoding 0 is read' in file.notes
    second = [line(ky, encoding_space_ref=1) for ky in range(N_LINES)]
    small = replace(PLAIN, encoded=space(8, 8), reconstructed=space(8, 8))
    assert torch.equal(opened(second, small, PLAIN).read().kspace[0], FULL)


@pytest.mark.parametrize('skipped', [20, 40])
def test_an_asymmetric_echo_with_oversampling_is_completed_along_the_readout(skipped: int) -> None:
    """Removed oversampling leaves ringing in place of zeros: what was measured is told beside k-space."""
    full = simulate(Simulation((96, 80), n_coils=4, noise=0, phantom='compartments')).kspace[0]
    image = torch.zeros(4, 96, 160, dtype=torch.complex64)
    image[..., 40:120] = image_from_kspace(full)
    wide = kspace_from_image(image)
    wide[..., :skipped] = 0
    lines = [line(ky, source=wide[..., skipped:], center_sample=80 - skipped) for ky in range(96)]
    scan = opened(lines, Encoding(space(160, 96), space(80, 96))).read()
    torch.testing.assert_close(scan.kspace[0], without_oversampling(wide, 80))
    assert scan.readout == range(skipped // 2, 80)
    truth = root_sum_of_squares(image_from_kspace(full))
    found = {name: reconstruct(scan, ZeroFilling(), partial_fourier=each) for name, each in PARTIAL_FOURIER.items()}
    errors = {name: float((result.image[0] - truth).norm()) for name, result in found.items()}
    assert any('partial Fourier along kx' in note for note in found['pocs'].notes)
    assert errors['pocs'] < errors['homodyne'] < errors['zero-fill']
    assert errors['pocs'] < 2 / 3 * errors['zero-fill']


def test_oversampling_that_the_header_does_not_know_of_is_told_by_the_readouts() -> None:
    """Scanner streams: the encoded matrix is the wanted one, readouts are twice as long, asymmetric ones nearly so."""
    image = torch.zeros(N_COILS, N_LINES, 2 * N_SAMPLES, dtype=torch.complex64)
    image[..., N_SAMPLES // 2 : -N_SAMPLES // 2] = random_kspace(N_COILS, N_LINES, N_SAMPLES, seed=9)
    wide = kspace_from_image(image)
    for skipped in (0, 6):
        kept, echo = wide[..., skipped:], N_SAMPLES - skipped
        file = opened([line(ky, source=kept, center_sample=echo) for ky in range(N_LINES)])
        kept = wide.clone()
        kept[..., :skipped] = 0
        expected = without_oversampling(kept, N_SAMPLES)
        assert file.shape[-1] == N_SAMPLES
        torch.testing.assert_close(file.read().kspace[0], expected)
        assert 'readout oversampling removed: 32 to 16 samples' in file.notes


@pytest.mark.parametrize(('rate', 'says'), [((2, 2), []), ((2, 3), ['the header says Rz=3']), ((4, 2), [])])
def test_a_caipi_shift_does_not_contradict_the_acceleration(rate: tuple[int, int], says: list[str]) -> None:
    """Of 2x2 with a shift by one line, all lines occur, and each partition has every fourth or second one."""
    encoding = replace(PLAIN, encoded=space(z=8), reconstructed=space(z=8), acceleration=rate)
    places = [(kz, ky) for kz in range(0, 8, 2) for ky in range(kz // 2 % 2 * rate[0] // 2, N_LINES, rate[0])]
    file = opened([line(ky, kspace_encode_step_2=kz) for kz, ky in places], encoding)
    assert [note.split(',')[0] for note in file.notes if 'the header says' in note] == says


def test_noise_is_the_same_bits_of_any_number_of_lines() -> None:
    """A stream of one slice, and a file of all of them: the mean of equal dwell times is each of them."""
    noise = line(0, 'noise', sample_time_us=20.1)
    found = []
    for n_slices in (1, 3, 37):
        lines = [line(ky, slice=number, sample_time_us=2.4) for number in range(n_slices) for ky in range(N_LINES)]
        found.append(opened([noise, *lines]).read([0]).noise)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_measurement_that_was_stopped_is_told() -> None:
    """The last slice lacks lines, or there is none; frames with shifted lines lack nothing."""

    def slices(n_last: int) -> list[Line]:
        numbers = [(repetition, number, ky) for repetition in (0, 1) for number in (0, 1) for ky in range(N_LINES)]
        whole = [line(ky, repetition=repetition, slice=number) for repetition, number, ky in numbers]
        return whole[: len(whole) - N_LINES + n_last]

    assert str(describe(opened(slices(N_LINES)))['verdict']).startswith('ready: nothing to fill in')
    assert 'slice 1, repetition 1 has lines 0 to 11, others 0 to 19' in str(describe(opened(slices(12)))['cautions'])
    assert 'left out: no lines in slices [1]' in str(describe(opened(slices(0)))['cautions'])
    shifted = [line(ky, repetition=number) for number in range(3) for ky in range(number, N_LINES, 3)]
    over = replace(PLAIN, calibration_mode='interleaved', interleaved_over='repetition')
    assert not any('stopped' in note for note in opened(shifted, over).notes)


def test_dwell_times_that_are_not_stated_are_told() -> None:
    for dwell in (0, 5):
        noise = line(0, 'noise', sample_time_us=dwell)
        file = opened([noise, *(line(ky, sample_time_us=5) for ky in range(N_LINES))])
        assert any('dwell times are not stated' in note for note in file.notes) == (dwell == 0)


def test_a_matrix_of_slices_is_no_volume() -> None:
    """Converters of some vendors state the number of slices as partitions."""
    encoding = replace(PLAIN, encoded=space(z=5), reconstructed=space(z=5))
    file = opened(
        [line(ky, source=(1 + number) * FULL, slice=number) for number in range(5) for ky in range(N_LINES)], encoding
    )
    assert (file.shape, file.image_shape) == ((5, N_COILS, N_LINES, N_SAMPLES), (N_LINES, N_SAMPLES))
    torch.testing.assert_close(file.read([3]).kspace[0], 4 * FULL)
    assert any('read as slices' in note for note in file.notes)


def test_acquisitions_without_samples_are_left_out() -> None:
    """What remains is still found in its place among all."""
    nothing = Line(FULL[:, 0, :0], 0)
    file = opened([nothing, *EVERY[:7], nothing, *EVERY[7:]])
    assert torch.equal(file.read().kspace[0], FULL)
    assert '2 acquisitions without samples left out' in file.notes


@pytest.mark.parametrize('echo', [0, 7, 4])
def test_whole_readouts_have_their_echo_in_the_middle(echo: int) -> None:
    """Converters leave it out, count from 1, or count before oversampling."""
    file = opened([line(ky, center_sample=echo) for ky in range(N_LINES)])
    assert torch.equal(file.read().kspace[0], FULL)
    assert any('the middle, sample 8, is taken' in note for note in file.notes)


def phantom() -> Tensor:
    """K-space of a smooth object without symmetry: energy has its peak in the centre."""
    image = torch.zeros(N_COILS, 32, N_SAMPLES, dtype=torch.complex64)
    image[:, 9:25, 4:11] = 1 + torch.rand(N_COILS, 16, 7, generator=torch.Generator().manual_seed(0))
    return kspace_from_image(image)


TALL = replace(PLAIN, encoded=space(y=32), reconstructed=space(y=32))


def partial(user: int = 0, *, first: int = 8, rate: int = 1) -> list[Line]:
    """Partial Fourier 6/8: rows 8 to 31, counted from 0, so that the centre is counter 8; the ACS is embedded."""
    rows = [row for row in range(first, 32) if (row - first) % rate == 0 or row in range(11, 22)]
    return [Line(phantom()[:, row], row - first, (), {}, {'user': [0, 0, 0, 0, 0, user, 0, 0]}) for row in rows]


@pytest.mark.parametrize('rate', [1, 2])
@pytest.mark.parametrize(
    ('stated', 'user', 'reason'),
    [
        (8, 0, None),
        (8, 8, None),
        (12, 8, r'because lines say so themselves \(user\[5\]\)'),
        (12, 0, 'because the energy of k-space has its peak at 8 and not at 12'),
        (16, 0, 'peak at 8 and not at 16'),
        (8, 12, 'peak at 8 and not at 12'),
        (8, 3, None),
        (None, 8, 'because lines say so'),
        (None, 0, 'peak at 8 and not at 16'),
    ],
)
def test_the_centre_of_partial_fourier_is_checked_three_ways(
    rate: int, stated: int | None, user: int, reason: str | None
) -> None:
    """Whatever header and converter say wrongly, lines come to lie where they were measured, and the note says why."""
    file = opened(partial(user, rate=rate), replace(TALL, ky_centre=stated))
    scan = file.read()
    expected = phantom() * scan.mask[:, None]
    torch.testing.assert_close(scan.kspace[0], expected)
    assert scan.mask.nonzero().min() == 8
    notes = [note for note in file.notes if 'centre of k-space' in note]
    assert len(notes) == (reason is not None)
    if reason:
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(notes[0])


def test_a_spike_is_no_peak_and_a_full_scan_is_never_moved() -> None:
    """One loud line has no neighbours; lines that fill the matrix lie where the header says, peak or not."""
    loud = [replace(own, samples=own.samples * (300 if own.ky == 19 else 1)) for own in partial()]
    assert not any('centre' in note for note in opened(loud, replace(TALL, ky_centre=8)).notes)
    moved = phantom().roll(6, dims=1)
    file = opened([line(ky, source=moved) for ky in range(32)], replace(TALL, ky_centre=16))
    assert torch.equal(file.read().kspace[0], moved)
    assert not any('centre' in note for note in file.notes)


def test_the_centre_that_is_given_wins() -> None:
    file = opened(partial(8), replace(TALL, ky_centre=8), centre=(10,))
    assert file.read().mask.nonzero().min() == 6
    assert any('line 10 is taken as the centre of k-space, as asked for' in note for note in file.notes)


def test_noise_channels_are_matched_by_the_labels_of_coils() -> None:
    """Noise was measured by more coils, in another order."""
    noise = random_kspace(5, 1, 64, seed=3)
    other = Header((PLAIN,), coil_labels=('d', 'c', 'b', 'a', 'e'))
    own = Header((PLAIN,), coil_labels=('a', 'b', 'c'))
    found = acquisitions([Line(noise[:, 0], 0, ('noise',))])
    scan = opened(EVERY, header=own, noise=(other, found)).read()
    assert scan.noise is not None
    torch.testing.assert_close(scan.noise, noise[[3, 2, 1], 0])
    with pytest.raises(ScanError, match='noise was measured by 5 channels and the image by 3'):
        opened(EVERY, noise=(Header((PLAIN,)), found)).read()


def test_masks_that_only_count_channels_do_not_match_noise() -> None:
    """Converters set the first bits, whatever the channels are."""
    noise = Line(random_kspace(5, 1, 64, seed=3)[:, 0], 0, ('noise',), {'channel_mask': [0b11111, *[0] * 15]})
    lines = [line(ky, channel_mask=[0b111, *[0] * 15]) for ky in range(N_LINES)]
    with pytest.raises(ScanError, match='noise was measured by 5 channels and the image by 3'):
        opened([noise, *lines]).read()


def test_noise_channels_are_matched_by_their_masks() -> None:
    noise = random_kspace(5, 1, 64, seed=3)
    masks = [[0b10111, *[0] * 14, 1], [0b00101, *[0] * 14, 1]]
    lines = [replace(own, fields={'channel_mask': masks[1]}) for own in EVERY]
    scan = opened([Line(noise[:, 0], 0, ('noise',), {'channel_mask': masks[0]}), *lines]).read()
    assert scan.noise is not None
    torch.testing.assert_close(scan.noise, noise[[0, 2, 4], 0])


def oblique(angle: float = 0.4) -> dict[str, Any]:
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return {'read_dir': [c, s, 0], 'phase_dir': [-s, c, 0], 'slice_dir': [0, 0, 1]}


@pytest.mark.parametrize(('vendor', 'sign'), [('Acme', 1), ('SIEMENS', -1)])
def test_slices_lie_where_headers_say(vendor: str, sign: int) -> None:
    """In metres, LPS; Siemens counts k the other way, so its pixels run against the directions of the header."""
    lines = [
        line(ky, slice=number, position=[10, -20, 5.0 * number], **oblique())
        for number in (0, 2)
        for ky in range(N_LINES)
    ]
    encoding = replace(PLAIN, encoded=Space((N_SAMPLES, N_LINES, 1), (0.32, 0.2, 0.004)))
    file = opened(lines, encoding, header=Header((), facts={'vendor': vendor}))
    first, second = file.geometries
    assert first.position == pytest.approx((0.01, -0.02, 0))
    assert second.position == pytest.approx((0.01, -0.02, 0.01))
    assert first.read_dir == pytest.approx([sign * each for each in oblique()['read_dir']])
    assert first.phase_dir == pytest.approx([sign * each for each in oblique()['phase_dir']])
    assert first.slice_dir == pytest.approx((0, 0, 1))
    assert first.voxel_size == pytest.approx((0.004, 0.01, 0.02))


def test_directions_that_are_no_axes_give_no_place() -> None:
    bad = oblique() | {'phase_dir': oblique()['read_dir']}
    kinds: list[dict[str, Any]] = [{}, bad, oblique() | {'slice_dir': [0, 0, 0]}]
    for fields in kinds:
        assert not opened([line(ky, **fields) for ky in range(N_LINES)]).geometries


def spoil_half(lines: list[Line]) -> list[Line]:
    """Coil 1 without the first half of every readout."""
    spoilt = [own.samples.clone() for own in lines]
    for samples in spoilt:
        samples[1, : N_SAMPLES // 2] = 0
    return [replace(own, samples=samples) for own, samples in zip(lines, spoilt, strict=True)]


def spoil_lines(lines: list[Line]) -> list[Line]:
    """Coil 2 without the last half of the lines."""
    factors = [torch.tensor([1, 1, own.ky < N_LINES // 2])[:, None] for own in lines]
    return [replace(own, samples=own.samples * factor) for own, factor in zip(lines, factors, strict=True)]


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [(spoil_half, 'coil 1 holds zeros on 20 of 20 lines'), (spoil_lines, 'coil 2 holds zeros on 10 of 20 lines')],
)
def test_half_a_coil_of_zeros_is_named(spoil: Callable, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        opened(spoil(EVERY)).read()


def test_a_dead_coil_is_read() -> None:
    dead = [replace(own, samples=own.samples * torch.tensor([1, 0, 1])[:, None]) for own in EVERY]
    assert not bool(opened(dead).read().kspace[0, 1].any())


@pytest.mark.parametrize(
    ('lines', 'encoding', 'message'),
    [
        (
            [line(ky, discard_pre=10, discard_post=6) for ky in range(N_LINES)],
            PLAIN,
            '10 before and 6 after .* nothing is',
        ),
        (HALF, replace(PLAIN, calibration_mode='interleaved'), r'\(TGRAPPA\) cannot train'),
        ([*HALF, line(3, 'calibration')], replace(PLAIN, calibration_mode='other'), 'state embedded or separate'),
        (
            [*HALF, line(3, 'calibration'), line(5, 'calibration', encoding_space_ref=1)],
            PLAIN,
            r'several encodings \[0, 1\]',
        ),
        (EVERY, replace(PLAIN, is_multiband=True), 'simultaneous multi-slice cannot'),
        (EVERY, replace(PLAIN, trajectory='epi'), 'trajectory epi cannot'),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(lines: list[Line], encoding: Encoding, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        opened(lines, encoding).read()


XML = """<ismrmrdHeader xmlns="urn:any"><subjectInformation><patientName>Doe</patientName></subjectInformation>
<acquisitionSystemInformation><systemVendor>Acme</systemVendor><institutionName>Ward 7</institutionName>
<coilLabel><coilNumber>1</coilNumber><coilName>b</coilName></coilLabel>
<coilLabel><coilNumber>0</coilNumber><coilName>a</coilName></coilLabel></acquisitionSystemInformation>
<encoding><encodedSpace><matrixSize><x>16</x><y>20</y><z>1</z></matrixSize>{fov}</encodedSpace>{recon}</encoding>
</ismrmrdHeader>"""


def test_a_header_keeps_who_the_patient_is_apart() -> None:
    header = header_from(XML.format(fov='', recon=''), 'a')
    assert header.facts == {'vendor': 'Acme'}
    assert header.identity == {'patientName': 'Doe', 'institutionName': 'Ward 7'}
    assert header.coil_labels == ('a', 'b')


def test_a_header_without_sizes_that_others_have_is_read() -> None:
    """Converters of other vendors leave out the field of view, or what images should be."""
    header = header_from(XML.format(fov='', recon=''), 'a')
    assert (header.image_shape(2), header.voxel_size(2)) == ((20, 16), None)


@pytest.mark.parametrize('size', ['1e-300', '1e-12', '-5', '0', '1e12', '1e300'])
def test_a_size_that_no_voxel_has_is_not_told(size: str) -> None:
    """Formats of images have no place for it, and would be refused or wrong."""
    fov = f'<fieldOfView_mm><x>{size}</x><y>{size}</y><z>{size}</z></fieldOfView_mm>'
    assert header_from(XML.format(fov=fov, recon=''), 'a').voxel_size(2) is None


@pytest.mark.parametrize('field', ['nan', 'inf', '1e400', 'three'])
def test_a_field_strength_that_is_no_number_gives_no_frequency(field: str) -> None:
    described = Description((1, 4, 4), (0.01, 0.01, 0.01), scanner={'field strength [T]': field})
    assert '<H1resonanceFrequency_Hz>0<' in header_xml(described)


@pytest.mark.parametrize('rate', [1, 2])
@pytest.mark.parametrize('wrong', [-0.125, 0, 0.125])
@pytest.mark.parametrize('name', ['pulseq_brain16', 'pulseq_phantom16', 'pulseq_phantom32', 'iraki_prescan16'])
def test_the_centre_of_measured_scans_is_found_and_a_right_one_is_left(
    shared_scan, name: str, wrong: float, rate: int
) -> None:
    """Cut to 6/8: exact where lines end with the matrix; of spaced lines as near as the peak itself, two lines off."""
    kspace = load_scan(shared_scan(f'{name}.h5')).kspace[0]
    n_lines, n_samples = kspace.shape[-2:]
    first = n_lines // 4
    rows = [row for row in range(first, n_lines) if (row - first) % rate == 0 or abs(row - n_lines // 2) < 12]
    lines = [Line(kspace[:, row], row - first) for row in rows]
    centre, size = n_lines // 2 - first, space(n_samples, n_lines)
    file = opened(lines, replace(PLAIN, encoded=size, reconstructed=size, ky_centre=centre + round(wrong * n_lines)))
    found = first - int(file.read().mask.nonzero().min())
    assert abs(found) <= (2 if wrong and rate > 1 else 0)
    assert any('centre of k-space' in note for note in file.notes) == bool(wrong)
