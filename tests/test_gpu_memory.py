"""A GPU that has no memory for what is asked: the same comes from the CPU, and says so."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import raki
from raki.cli import main
from raki.data.sampling import undersample
from raki.data.scan import Scan
from raki.data.simulate import Simulation, simulate
from raki.device import ON_CPU, or_on_cpu
from raki.grappa.method import Grappa
from raki.interpolation.fit import Interpolator
from raki.pipeline import Slab, reconstruct
from tests.pretended import DEVICE, pretending
from tests.toys import attributes, measured_only, relative_error, stored

CPU = torch.device('cpu')
ERRORS: list[Callable[[], RuntimeError]] = [
    lambda: torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB'),
    lambda: RuntimeError('CUDA error: out of memory'),
    lambda: RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`'),
]


@pytest.fixture
def scan() -> Scan:
    full = simulate(Simulation(matrix=(48, 40), n_coils=4, n_slices=2))
    sampling = undersample(full.mask, (2,), (16,))
    return replace(full, kspace=measured_only(full.kspace, sampling), mask=sampling.mask)


@pytest.fixture
def full_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.device]]:
    """A GPU that is there and takes no scan; the devices that were tried."""
    tried, of = list[torch.device](), Slab.of

    def refusing(scan: Scan, index: int, device: torch.device, *others: object) -> Slab:
        tried.append(device)
        if device.type == 'cuda':
            raise ERRORS[0]()
        return of(scan, index, device, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Slab, 'of', refusing)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    yield tried
    assert any(device.type == 'cuda' for device in tried)


@pytest.mark.parametrize('error', ERRORS)
def test_work_without_memory_is_done_anew_on_the_cpu(error: Callable[[], RuntimeError]) -> None:
    def work(device: torch.device) -> str:
        if device.type == 'cuda':
            raise error()
        return device.type

    assert or_on_cpu(work, torch.device('cuda')) == ('cpu', (ON_CPU,))
    assert or_on_cpu(work, CPU) == ('cpu', ())


@pytest.mark.parametrize('error', [*ERRORS, lambda: RuntimeError('CUDA error: an illegal memory access')])
def test_other_errors_and_the_cpus_own_pass(error: Callable[[], RuntimeError]) -> None:
    wanted, tried = error(), list[torch.device]()

    def work(device: torch.device) -> None:
        tried.append(device)
        raise wanted

    is_memory = 'illegal' not in str(wanted)
    with pytest.raises(RuntimeError) as caught:
        or_on_cpu(work, CPU if is_memory else torch.device('cuda'))
    assert caught.value is wanted
    assert len(tried) == 1


@pytest.mark.parametrize('step', ['fitted', 'fill'])
def test_only_the_slice_that_does_not_fit_goes_to_the_cpu(
    scan: Scan, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever in its course memory ends; the other slice stays where it was."""
    kind: type = Slab if step == 'fitted' else Interpolator
    expected, run, n_there = reconstruct(scan, Grappa(), device=CPU), getattr(kind, step), 0

    def failing(self: object, *arguments: object) -> object:
        nonlocal n_there
        tensor = self.kspace if isinstance(self, Slab) else arguments[0]
        assert isinstance(tensor, torch.Tensor)
        n_there += tensor.device == DEVICE
        if tensor.device == DEVICE and n_there == 1:
            raise ERRORS[0]()
        return run(self, *arguments)

    monkeypatch.setattr(kind, step, failing)
    with pretending():
        found = reconstruct(scan, Grappa(), device=DEVICE)
    assert n_there >= 2
    assert found.warnings == (*expected.warnings, ON_CPU)
    assert torch.equal(found.image[0], expected.image[0])
    assert relative_error(found.image, expected.image) < 1e-6
    assert len(found.interpolators) == 2


def test_earlier_fits_go_to_the_cpu_with_their_slice(scan: Scan, full_gpu: list[torch.device]) -> None:
    earlier = reconstruct(scan, Grappa(), device=CPU)
    found = reconstruct(scan, Grappa(), device=torch.device('cuda'), fitted=earlier.interpolators)
    assert torch.equal(found.image, earlier.image)
    assert ON_CPU in found.warnings
    assert [device.type for device in full_gpu] == ['cpu', 'cpu', 'cuda', 'cpu', 'cuda', 'cpu']


@pytest.mark.parametrize('named', [False, True])
def test_the_command_says_it_in_log_and_manifest(
    named: bool,
    full_gpu: list[torch.device],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, out, cpu = tmp_path / 'scan.h5', tmp_path / 'out.h5', tmp_path / 'cpu.h5'
    words = ['--matrix', '48x40', '--coils', '6', '--rate', '2', '--acs', '16']
    assert main(['simulate', '-o', str(path), *words]) == 0
    asked = ['reconstruct', str(path), '--method', 'grappa', '--gfactor']
    assert main([*asked, '-o', str(cpu), '--device', 'cpu']) == 0
    monkeypatch.setattr('raki.device.choose_device', lambda _name=None: torch.device('cuda'))
    monkeypatch.setattr('raki.commands.parts.gfactor_maps', refusing_maps())
    monkeypatch.setattr('raki.commands.parts.on_device', lambda interpolator, _device: interpolator)
    capsys.readouterr()
    assert main([*asked, '-o', str(out), *['--device', 'cuda'] * named]) == 0
    assert ' '.join(capsys.readouterr().err.split()).count(ON_CPU) == 1
    manifest = attributes(out)
    assert full_gpu.count(torch.device('cuda')) == 1
    assert ON_CPU in json.loads(manifest['warnings'])
    assert ON_CPU not in json.loads(attributes(cpu)['warnings'])
    for name in ('reconstruction', 'gfactor'):
        assert (stored(out, name) == stored(cpu, name)).all()


def refusing_maps() -> Callable[..., torch.Tensor]:
    from raki.commands.parts import gfactor_maps

    def maps(*arguments: object) -> torch.Tensor:
        if arguments[-1] != CPU:
            raise ERRORS[0]()
        return gfactor_maps(*arguments)  # type: ignore[arg-type]

    return maps


def test_python_says_it_in_its_own_words(scan: Scan, full_gpu: list[torch.device]) -> None:
    found = raki.reconstruct(scan, 'grappa')
    assert [text for text in found.warnings if 'done on the CPU; use coils' in text]
    assert {device.type for device in full_gpu} == {'cuda', 'cpu'}
    assert found.manifest['warnings'] == list(found.warnings)
