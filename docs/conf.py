"""How the documentation is built: `make docs`.

Pages with code cells are executed, and show their figures; notebooks (minutes) with RAKI_DOCS_EXECUTION=cache.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version as version_of
from pathlib import Path

import typer
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.writers.html5 import HTML5Translator

from raki.cli import app as raki_command

project = 'raki'
copyright = 'the raki contributors, MIT licence'  # noqa: A001
version = release = version_of('raki')

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.viewcode']
exclude_patterns = ['conf.py', 'gallery/scene.py', 'notebooks/laboratory']
html_math_renderer = 'mathml'
html_theme = 'furo'
html_title = f'raki {version}'
html_static_path = ['static', 'gallery/thumbnails']
html_css_files = ['pages.css']
Path(__file__).with_name('gallery').joinpath('thumbnails').mkdir(exist_ok=True)  # pages fill it when they are executed

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
default_role = 'code'
smartquotes_action = 'qe'  # two dashes are those of an option

myst_enable_extensions = ['dollarmath', 'amsmath']
myst_heading_anchors = 3
nb_custom_formats = {'.py': ['jupytext.reads', {'fmt': 'py:percent'}]}
nb_execution_mode = os.environ.get('RAKI_DOCS_EXECUTION', 'force')
nb_execution_excludepatterns = [] if 'RAKI_DOCS_EXECUTION' in os.environ else ['notebooks/*.py']
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_output_stderr = 'remove'
nb_merge_streams = True
nb_render_markdown_format = 'gfm'
nb_code_prompt_show = nb_code_prompt_hide = '{type} of this figure'
os.environ['MATPLOTLIBRC'] = str(Path(__file__).with_name('matplotlibrc'))
os.environ['OMP_NUM_THREADS'] = os.environ.get('OMP_NUM_THREADS', '1')


def write_command_reference(app: Sphinx) -> None:
    """Let typer describe the commands, a page for each, so that the reference cannot fall behind them."""
    words = [sys.executable, '-m', 'typer', 'raki.cli', 'utils', 'docs', '--name', 'raki', '--title', 'raki']
    described = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    _, *parts = re.split(r'^## `raki (\S+)`$', described, flags=re.MULTILINE)
    pages = dict(zip(parts[::2], parts[1::2], strict=True))
    commands = typer.main.get_command(raki_command).commands
    folder = Path(app.srcdir) / 'commands'
    folder.mkdir(exist_ok=True)
    for name in [name for name, command in commands.items() if not command.hidden]:
        write_if_new(folder / f'{name}.md', f'# raki {name}\n{pages[name]}')


def write_if_new(path: Path, page: str) -> None:
    """Write a page that changed; what is as it was keeps its time, and is not read again."""
    if not path.exists() or path.read_text(encoding='utf-8') != page:
        path.write_text(page, encoding='utf-8')


def read_numpy_style(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the sections of docstrings into reST; those of attributes have none, and their colons are colons.

    Bars and stars outside `code` are magnitudes and products, and no markup.
    """
    lines[:] = [re.sub(r'(`[^`]*`)|([|*])', lambda found: found[1] or '\\' + found[2], line) for line in lines]
    if what not in {'attribute', 'property', 'data'}:
        lines[:] = NumpyDocstring(lines, Config(napoleon_use_rtype=False), app, what, name, obj, options).lines()


def write_mathml(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write formulas as MathML, which browsers show by themselves, so that the site needs no network."""
    display = 'block' if isinstance(node, nodes.math_block) else 'inline'
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def copy_notebooks(app: Sphinx) -> None:
    """Put the notebooks and their results among the pages; a link would be resolved, and links in it lead nowhere."""
    copy = Path(app.srcdir) / 'notebooks'
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(copy.parents[1] / 'notebooks', copy, ignore=shutil.ignore_patterns('*.ipynb', '.*', '__pycache__'))


def setup(app: Sphinx) -> None:
    """Register what is done before reading."""
    app.add_html_math_renderer('mathml', (write_mathml, None), (write_mathml, None))
    app.connect('builder-inited', copy_notebooks)
    app.connect('builder-inited', write_command_reference)
    app.connect('autodoc-process-docstring', read_numpy_style)
