"""What is released is complete, and runs where there is no clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import mmaction
import pytest

ROOT = Path(__file__).resolve().parents[1]
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


def python(code: str, *args: str, cwd: Path, path: Path | str = '') -> str:
    """Runs code in another process and returns what it printed."""
    result = subprocess.run(
        (sys.executable, '-c', code, *args),
        cwd=cwd,
        env={
            **os.environ,
            'PYTHONPATH': str(path),
            'OMP_NUM_THREADS': '1',
            'CUDA_VISIBLE_DEVICES': '-1',
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    """Folder with the sdist and the wheel of this tree."""
    pytest.importorskip('setuptools', minversion='70.1')
    # Building writes into the tree.
    tree = tmp_path_factory.mktemp('tree')
    ignored = shutil.ignore_patterns('__pycache__', '*.egg-info', '.mim', '*.so')
    for name in 'mmtal_mts configs tools requirements examples docs'.split():
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, tree)
    out = tmp_path_factory.mktemp('dist')
    python(BUILD, str(out), cwd=tree)
    return out


@pytest.fixture(scope='module')
def installed(dist, tmp_path_factory):
    """Folder into which the wheel is unpacked, which is all that pip does."""
    folder = tmp_path_factory.mktemp('site')
    with zipfile.ZipFile(next(dist.glob('*.whl'))) as wheel:
        wheel.extractall(folder)
    return folder


def files(folder: Path, *suffixes: str) -> set[str]:
    return {
        str(file.relative_to(ROOT))
        for file in folder.rglob('*')
        if file.suffix in suffixes and '__pycache__' not in file.parts
    }


def test_wheel_is_complete(installed):
    package = files(
        ROOT / 'mmtal_mts', '.py', '.cpp', '.cu', '.h', '.html', '.css', '.js'
    )
    assert {name for name in package if not (installed / name).is_file()} == set()
    wanted = files(ROOT / 'configs', '.py', '.md', '.yml', '.json')
    wanted |= files(ROOT / 'tools', '.py', '.md') | {'model-index.yml'}
    mim = installed / 'mmtal_mts/.mim'
    found = {str(p.relative_to(mim)) for p in mim.rglob('*') if p.is_file()}
    assert wanted - found == {'tools/quickstart.py'}
    assert {Path(name).name for name in found - wanted} == {
        *('dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh')
    }


def test_sdist_can_build_the_wheel(dist, installed):
    with tarfile.open(next(dist.glob('*.tar.gz'))) as sdist:
        names = {name.partition('/')[2] for name in sdist.getnames()}
    wanted = {
        str(path.relative_to(installed)).replace('mmtal_mts/.mim/', '')
        for path in installed.rglob('*')
        if path.is_file() and '.dist-info' not in str(path)
    }
    assert wanted - names == set()
    assert {'setup.py', 'pyproject.toml', 'CHANGELOG.md', 'LICENSE'} <= names


def test_changelog_has_the_version_first(installed):
    version = next(installed.glob('*.dist-info')).name.split('-')[1].split('.dist')[0]
    lines = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8').splitlines()
    newest = next(line for line in lines if line.startswith('## '))
    assert newest.split()[1] == version


def test_mmaction2s_own_tools_run_the_example_with_the_wheel(installed, tmp_path):
    project = tmp_path / 'project'
    shutil.copytree(ROOT / 'examples/mmaction2_project', project)
    ours = installed / 'mmtal_mts/.mim/tools'
    theirs = Path(mmaction.__file__).parent / '.mim/tools'
    config = 'configs/tal-mts_shapes.py'
    options = ('--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=2')
    data = '--num-train 2 --num-test 1 --duration 9 10 --size 48 --fps 20 --workers 1'
    commands = [
        [
            *(str(ours / 'dataset_converters/generate_synthetic.py'), 'data/shapes'),
            *data.split(),
        ],
        [str(theirs / 'train.py'), config, *options],
        [str(theirs / 'test.py'), config, 'work_dirs/tal-mts_shapes/epoch_1.pth'],
    ]
    output = python(
        RUN_ALL,
        json.dumps(commands),
        cwd=project,
        path=f'{project}{os.pathsep}{installed}',
    )
    assert 'loss_quality:' in output
    assert 'Epoch(test)' in output.splitlines()[-1]
    assert 'mAP@0.50:' in output.splitlines()[-1]
