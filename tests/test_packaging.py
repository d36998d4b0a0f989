"""What is released is complete, and runs where there is no clone; scripts import."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

import mmaction
import pytest
from toy_runner import ROOT, run_child

FOLDERS = 'tools', 'examples', 'projects', '.dev_scripts'
SCRIPTS = sorted(path for name in FOLDERS for path in (ROOT / name).rglob('*.py'))
BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # which they overwrite
build_meta.build_sdist(out)
build_meta.build_wheel(out)
"""
# One process for several tools: importing torch takes longer than what they do here.
RUN_ALL = """
import json, runpy, sys
for command in json.loads(sys.argv[1]):
    sys.argv = command
    try:
        runpy.run_path(command[0], run_name='__main__')
    except SystemExit as stop:
        if stop.code:
            raise
"""


def python(code: str, argument: str, cwd: Path, path: str = '') -> str:
    """Runs code in another process and returns what it printed."""
    command = [sys.executable, '-c', code, argument]
    failed, output = run_child(*command, cwd=cwd, PYTHONPATH=path)
    assert not failed, output
    return output


@pytest.fixture(scope='module')
def release(tmp_path_factory):
    """The sdist of this tree, and a folder with its wheel as pip unpacks it."""
    pytest.importorskip('setuptools', minversion='70.1')
    # Building writes into the tree.
    tree, out = tmp_path_factory.mktemp('tree'), tmp_path_factory.mktemp('dist')
    ignored = shutil.ignore_patterns('__pycache__', '*.egg-info', '.mim', '*.so')
    for name in 'mmtal_mts configs tools requirements examples docs'.split():
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for file in filter(Path.is_file, ROOT.iterdir()):
        shutil.copy(file, tree)
    python(BUILD, str(out), cwd=tree)
    shutil.unpack_archive(next(out.glob('*.whl')), out / 'site', 'zip')
    return next(out.glob('*.tar.gz')), out / 'site'


@pytest.fixture
def installed(release):
    return release[1]


def files(folder: Path, root: Path, *suffixes: str) -> set[str]:
    """Paths of all files, relative to ``root``; without suffixes all kinds."""
    return {
        str(file.relative_to(root))
        for file in folder.rglob('*')
        if file.is_file() and '__pycache__' not in file.parts
        if not suffixes or file.suffix in suffixes
    }


def test_wheel_is_complete(installed):
    kinds = ('.py', '.cpp', '.cu', '.h', '.html', '.css', '.js')
    package = files(ROOT / 'mmtal_mts', ROOT, *kinds)
    assert package - files(installed / 'mmtal_mts', installed) == set()
    wanted = files(ROOT / 'configs', ROOT, '.py', '.md', '.yml', '.json')
    wanted |= files(ROOT / 'tools', ROOT, '.py', '.md') | {'model-index.yml'}
    mim = installed / 'mmtal_mts/.mim'
    assert wanted - files(mim, mim) == {'tools/quickstart.py'}
    scripts = ('dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh')
    assert files(mim, mim) - wanted == {f'tools/{name}' for name in scripts}


def test_sdist_can_build_the_wheel(release, installed):
    with tarfile.open(release[0]) as sdist:
        names = {name.partition('/')[2] for name in sdist.getnames()}
    wheel = files(installed / 'mmtal_mts', installed)
    assert {name.replace('mmtal_mts/.mim/', '') for name in wheel} - names == set()
    assert {'setup.py', 'pyproject.toml', 'CHANGELOG.md', 'LICENSE'} <= names


def test_changelog_has_the_version_first(installed):
    version = next(installed.glob('*.dist-info')).stem.split('-')[1]
    text = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')
    assert re.search(r'^## (\S+)', text, re.MULTILINE)[1] == version


def test_mmaction2s_own_tools_run_the_example_with_the_wheel(installed, tmp_path):
    project = tmp_path / 'project'
    shutil.copytree(ROOT / 'examples/mmaction2_project', project)
    synthetic = installed / 'mmtal_mts/.mim/tools/dataset_converters'
    theirs = Path(mmaction.__file__).parent / '.mim/tools'
    config = 'configs/tal-mts_shapes.py'
    options = '--cfg-options train_cfg.max_epochs=1 train_cfg.val_interval=2'
    data = '--num-train 2 --num-test 1 --duration 9 10 --size 48 --fps 20 --workers 1'
    commands = [
        [f'{synthetic}/generate_synthetic.py', 'data/shapes', *data.split()],
        [f'{theirs}/train.py', config, *options.split()],
        [f'{theirs}/test.py', config, 'work_dirs/tal-mts_shapes/epoch_1.pth'],
    ]
    path = f'{project}{os.pathsep}{installed}'
    output = python(RUN_ALL, json.dumps(commands), cwd=project, path=path)
    assert 'loss_quality:' in output
    assert 'Epoch(test)' in output.splitlines()[-1]
    assert 'mAP@0.50:' in output.splitlines()[-1]


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_from_the_package_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        # Tools import when they run, so that their help is quick.
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('mmtal'):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f'{node.module}.{alias.name}'
