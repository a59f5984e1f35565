"""No code that runs what a file says, no shell, no network where none belongs; and every such call would be found."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('raki', 'data', 'grappa', 'benchmarks', 'notebooks')
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob('*.py') if path.is_relative_to(path.resolve())
)

RUN_BY_LOADING = {'pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'shelve', 'marshal', 'joblib', 'jsonpickle'}
NETWORK = {
    'socket',
    'socketserver',
    'ssl',
    'urllib',
    'http',
    'requests',
    'httpx',
    'aiohttp',
    'ftplib',
    'smtplib',
    'xmlrpc',
}
AT_HOME = {
    'raki/inline/': NETWORK,
    'data/child.py': {'socket'},  # pairs of sockets between a process and its child
    'data/messages.py': {'socket'},  # the same
    'benchmarks/': {'socket'},  # those that time the server
}
"""Folders and files that may have a network: `raki serve` is there."""

MADE_BY_ATTACKS = {'benchmarks/attacks/crafted_files.py': ('pickle', 'pickle.dumps', 'numpy.save', 'os.system')}
"""What writes hostile files may import, call with pickles, or name in them: none of these loads or runs anything.

So `pickle.dumps` and `numpy.save` may be called there, `pickle.loads` not; `os.system` may be named, but not called.
"""

CALLS = {
    'torch.load': 'runs what a file says',
    'torch.jit.load': 'runs what a file says',
    'torch.hub.load': 'runs what the network says',
    'yaml.load': 'runs what a file says: use yaml.safe_load',
    'yaml.unsafe_load': 'runs what a file says: use yaml.safe_load',
    'yaml.full_load': 'runs what a file says: use yaml.safe_load',
    'os.system': 'runs a shell',
    'os.popen': 'runs a shell',
    'subprocess.getoutput': 'runs a shell',
    'subprocess.getstatusoutput': 'runs a shell',
    'tempfile.mktemp': 'names a file that another one may make first',
    'eval': 'runs text',
    'exec': 'runs text',
    'compile': 'makes code of text',
    '__import__': 'imports what a text names',
}
LOADERS = ('numpy.load', 'numpy.lib.npyio.NpzFile', 'numpy.lib.format.read_array')


def names_of(tree: ast.AST) -> dict[str, str]:
    """What names stand for: by imports, whole or of parts, under any other name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition('.')[0]
                found |= {each.asname: each.name} if each.asname else {first: first}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {each.asname or each.name: f'{node.module}.{each.name}' for each in node.names}
    return found


def full_name(node: ast.expr, names: dict[str, str]) -> str:
    """Name of what is meant, such as numpy.load for np.load; empty where it is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f'{full_name(node.value, names)}.{node.attr}'
    return ''


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and package of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name.partition('.')[0]) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module.partition('.')[0]
        elif isinstance(node, ast.Call) and _imports_by_name(node):
            yield node.lineno, str(node.args[0].value).partition('.')[0]  # type: ignore[attr-defined]


def _imports_by_name(node: ast.Call) -> bool:
    name = full_name(node.func, {})
    return name.endswith('import_module') and bool(node.args) and isinstance(node.args[0], ast.Constant)


def keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in node.keywords if each.arg == name), None)


def says(word: str, node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and str(node.value) == word


def dangers(text: str, where: str) -> list[str]:
    """Everything in a module that must not be there."""
    tree, found = ast.parse(text), list[str]()
    allowed = {each for home, packages in AT_HOME.items() if where.startswith(home) for each in packages}
    made = MADE_BY_ATTACKS.get(where, ())
    for line, package in imports(tree):
        if package in RUN_BY_LOADING and package not in made:
            found.append(f'{where}:{line}: {package} runs what a file says')
        if package in NETWORK - allowed:
            found.append(f'{where}:{line}: {package} is a network, which only raki/inline has')
    names = names_of(tree)
    calls = [(node, full_name(node.func, names)) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for node, name in calls:
        if name.partition('.')[0] in RUN_BY_LOADING and name not in made:
            found.append(f'{where}:{node.lineno}: {name} runs what a file says')
        if name in CALLS:
            found.append(f'{where}:{node.lineno}: {name} {CALLS[name]}')
        if name in LOADERS and not says('False', keyword(node, 'allow_pickle')):
            found.append(f'{where}:{node.lineno}: {name} needs allow_pickle=False')
        if keyword(node, 'shell') is not None and not says('False', keyword(node, 'shell')):
            found.append(f'{where}:{node.lineno}: shell=True runs a shell')
        is_pickling = says('True', keyword(node, 'allow_pickle')) and name not in made
        if says('False', keyword(node, 'weights_only')) or is_pickling:
            found.append(f'{where}:{node.lineno}: runs what a file says')
    called = {id(node.func) for node, _ in calls}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in called:
            name = full_name(node, names)
            is_bad = name in CALLS and name not in made
            found += [f'{where}:{node.lineno}: {name} {CALLS[name]}'] if is_bad else []
    return found


def test_there_are_files_to_look_at() -> None:
    looked_at = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert looked_at == set(FOLDERS)
    assert {ROOT / 'raki' / 'cli.py', ROOT / 'data' / 'save.py', ROOT / 'raki' / 'inline' / 'server.py'} <= set(FILES)


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_dangerous_is_called(path: Path) -> None:
    assert dangers(path.read_text(encoding='utf-8'), str(path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    'text',
    [
        'import pickle',
        'import cloudpickle as harmless',
        'from pickle import loads',
        'def f():\n    from joblib import load',
        'import marshal',
        'import shelve',
        'importlib.import_module("dill")',
        'import torch\ntorch.load("a.pt")',
        'import torch\ntorch.load("a.pt", weights_only=True)',
        'from torch import load as read\nread("a.pt")',
        'import torch as t\nt.hub.load("a", "b")',
        'import yaml\nyaml.load(text, yaml.SafeLoader)',
        'from yaml import unsafe_load\nunsafe_load(text)',
        'import torch\nreader = torch.load',
        'import numpy as np\nnp.load("a.npy")',
        'import numpy\nnumpy.load("a.npy", allow_pickle=True)',
        'from numpy import load\nload(name, allow_pickle=choice)',
        'import subprocess\nsubprocess.run("ls", shell=True)',
        'import subprocess as s\ns.Popen("ls", shell=chosen)',
        'import os\nos.system("ls")',
        'from os import popen\npopen("ls")',
        'eval("1")',
        'exec(text)',
        'run = eval',
        'compile(text, "a", "exec")',
        '__import__(name)',
        'import tempfile\ntempfile.mktemp()',
        'import socket',
        'import urllib.request',
        'from http.client import HTTPConnection',
        'import requests',
    ],
)
def test_what_is_planted_is_found(text: str) -> None:
    assert dangers(text, 'raki/planted.py')


@pytest.mark.parametrize(
    ('text', 'where'),
    [
        ('import yaml\nyaml.safe_load(text)', 'raki/a.py'),
        ('import re\nre.compile("a")', 'raki/a.py'),
        ('import numpy as np\nnp.load("a.npy", allow_pickle=False)', 'data/a.py'),
        ('import json\njson.load(file)', 'data/a.py'),
        ('import subprocess\nsubprocess.run(["ls"], shell=False)', 'raki/a.py'),
        ('from safetensors.torch import load_file\nload_file("a")', 'data/a.py'),
        ('import socket', 'raki/inline/server.py'),
        ('import socket', 'data/child.py'),
        ('model.eval()', 'raki/a.py'),
    ],
)
def test_what_is_harmless_is_not(text: str, where: str) -> None:
    assert dangers(text, where) == []


@pytest.mark.parametrize('text', ['import urllib', 'import pickle'])
def test_one_who_may_use_pairs_of_sockets_may_not_use_anything(text: str) -> None:
    assert dangers(text, 'data/child.py')


@pytest.mark.parametrize(
    'text',
    [
        'import pickle\npickle.loads(b"")',
        'import pickle as p\np.Unpickler(file).load()',
        'from pickle import load\nload(file)',
        'import os\nos.system("ls")',
        'import numpy as np\nnp.load("a.npy", allow_pickle=True)',
        'import dill',
        'import subprocess\nsubprocess.run("ls", shell=True)',
    ],
)
def test_what_writes_hostile_files_loads_and_runs_none(text: str) -> None:
    assert dangers(text, 'benchmarks/attacks/crafted_files.py')
