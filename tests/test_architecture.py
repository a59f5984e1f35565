"""The folder tree is the architecture: who may import whom, and which library may appear where."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {'raki': ROOT / 'raki', 'raki.data': ROOT / 'data', 'raki.grappa': ROOT / 'grappa'}

FLOORS = [
    ['raki.errors', 'raki.fourier', 'raki.device'],
    ['raki.extras', 'raki.magnitude'],
    ['raki.data', 'raki.coils'],
    ['raki.interpolation', 'raki.partial_fourier'],
    ['raki.grappa', 'raki.networks', 'raki.consistency', 'raki.pipeline'],
    ['raki.evaluation', 'raki.fits', 'raki.inline'],
    ['raki.commands'],
    ['raki.endings', 'raki.face', 'raki.options', 'raki.streams'],
    ['raki.benchmarking', 'raki.many', 'raki.public', 'raki.serving', 'raki.starting'],
    ['raki.cli'],
]
"""Rooms, from the ground up: one imports from lower floors only, never from another on its own."""
LEVEL = {room: level for level, rooms in enumerate(FLOORS, start=1) for room in rooms}

AT_HOME = {
    'h5py': ('raki.data',),
    'nibabel': ('raki.data.images.nifti',),
    'pydicom': ('raki.data.images.dicom',),
    'safetensors': ('raki.fits.stored',),
    'sigpy': ('raki.evaluation.outside',),
    'skimage': ('raki.evaluation.metrics',),
    'PIL': ('raki.evaluation.figure',),
    'plotly': ('raki.evaluation.web_page',),
    'jinja2': ('raki.evaluation.benchmark_page', 'raki.evaluation.contact_page', 'raki.evaluation.web_page'),
    'pygrappa': ('raki.evaluation.peers',),
    'matplotlib': ('raki.evaluation.figure', 'raki.face.plots'),
    'pandas': ('raki.face.comparison',),
    'mrd': ('raki.inline.version2',),
    'submitit': ('raki.commands.batch.cluster',),
    'rich': (
        'raki.commands.benchmark_results',
        'raki.commands.progress',
        'raki.commands.tables',
        'raki.commands.terminal',
    ),
    'twixtools': ('raki.data.twix.file',),
    'pydantic': (
        'raki.commands.batch.records',
        'raki.commands.config',
        'raki.commands.settings',
        'raki.endings',
        'raki.options',
    ),
    'yaml': ('raki.commands.config',),
    'typer': (
        'raki.benchmarking',
        'raki.cli',
        'raki.commands.settings',
        'raki.endings',
        'raki.many',
        'raki.options',
        'raki.serving',
        'raki.starting',
    ),
}


def module_files() -> dict[str, Path]:
    """Every module of the package by its import name; the links inside raki/ are other names of the same folders."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob('*.py'):
            relative = path.relative_to(folder)
            if package == 'raki' and relative.parts[0] in ('data', 'grappa'):
                continue
            parts = [part for part in (package, *relative.with_suffix('').parts) if part != '__init__']
            found['.'.join(parts)] = path
    return found


MODULES = module_files()


def imported(path: Path) -> Iterator[str]:
    """Every absolute module name that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f'{node.module}.{name.name}' for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def layer(module: str) -> str | None:
    """The layer that a module or a name in it belongs to."""
    return next((known for known in LEVEL if module == known or module.startswith(f'{known}.')), None)


@pytest.mark.parametrize('module', sorted(set(MODULES) - {'raki'}))
def test_imports_point_down(module: str) -> None:
    own = layer(module)
    assert own is not None, f'{module} has no place in the architecture'
    for name in imported(MODULES[module]):
        other = layer(name)
        if other is not None and other != own:
            assert LEVEL[other] < LEVEL[own], f'{module} imports {name}, which is not below it'


def test_no_module_leads_back_to_itself() -> None:
    """Within a room, too."""
    arrows = {module: _modules_of(module) & set(MODULES) - {module} for module in MODULES}
    while leaves := [module for module, others in arrows.items() if not others & set(arrows)]:
        arrows = {module: others for module, others in arrows.items() if module not in leaves}
    assert not arrows, f'these import each other in a circle: {sorted(arrows)}'


def _modules_of(module: str) -> set[str]:
    """What a module imports, a name in another module counting as that module."""
    names = set(imported(MODULES[module])) - {'raki'}
    return names | {name.rpartition('.')[0] for name in names if name not in MODULES}


@pytest.mark.parametrize('module', sorted(MODULES))
def test_libraries_stay_where_they_belong(module: str) -> None:
    for name in imported(MODULES[module]):
        homes = AT_HOME.get(name.partition('.')[0])
        assert homes is None or any(module == home or module.startswith(f'{home}.') for home in homes), (module, name)


COMMAND_LINE = {'raki.benchmarking', 'raki.cli', 'raki.many', 'raki.serving', 'raki.starting'}


@pytest.mark.parametrize('module', sorted(set(MODULES) - COMMAND_LINE))
def test_only_the_command_line_prints(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding='utf-8'))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == 'print']


@pytest.mark.parametrize('module', sorted(MODULES))
def test_modules_stay_readable(module: str) -> None:
    assert len(MODULES[module].read_text(encoding='utf-8').splitlines()) <= 300


def test_the_package_list_names_every_folder_with_code() -> None:
    settings = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['tool']['setuptools']
    packages = {module if path.name == '__init__.py' else module.rpartition('.')[0] for module, path in MODULES.items()}
    assert set(settings['packages']) == packages
    assert settings['package-dir'] == {name: folder.name for name, folder in FOLDERS.items()}
