"""Where the compiled mmcv is kept, and what is said when it cannot be compiled."""

from __future__ import annotations

import importlib.util
import os
import sys
import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def installer():
    path = Path(__file__).parents[2] / 'tools' / 'misc' / 'install_mmcv.py'
    spec = importlib.util.spec_from_file_location('install_mmcv', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pinned_version_fits_the_rest(installer, repo_root, tmp_path):
    version = installer.pinned_version(repo_root / 'requirements' / 'full.txt')
    assert (2, 0, 1) <= tuple(map(int, version.split('.'))) < (2, 2)
    other = tmp_path / 'other.txt'
    other.write_text('mmcv>=2.0\n')
    with pytest.raises(installer.InstallError, match=r'other.txt has no line mmcv=='):
        installer.pinned_version(other)


def test_every_combination_has_a_folder_of_its_own(installer, monkeypatch):
    python = f'python{sys.version_info.major}.{sys.version_info.minor}'
    monkeypatch.setattr(installer.metadata, 'version', {'torch': '2.9.0+cpu'}.get)
    key = installer.wheel_key('2.1.0', None)
    assert key.startswith(f'mmcv2.1.0-{python}-torch2.9.0+cpu-')
    monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', '8.0;9.0+PTX')
    assert installer.wheel_key('2.1.0', None) == key
    assert installer.wheel_key('2.1.0', '13.0') == f'{key}-cuda13.0-8.0_9.0+PTX'


def test_the_cache_is_where_the_environment_says(installer, monkeypatch):
    for name in ('MMTAL_WHEELS', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', '/home/me')
    assert installer.wheel_cache() == Path('/home/me/.cache/mmtal_mts/wheels')
    monkeypatch.setenv('XDG_CACHE_HOME', '/caches')
    assert installer.wheel_cache() == Path('/caches/mmtal_mts/wheels')
    monkeypatch.setenv('MMTAL_WHEELS', '/mine')
    assert installer.wheel_cache() == Path('/mine')
    monkeypatch.delenv('MMTAL_WHEELS')
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.delenv('HOME')
    assert installer.wheel_cache().is_relative_to(sys.prefix)


def test_a_finished_wheel_is_found_and_an_unfinished_one_is_not(installer, tmp_path):
    with installer.locked(tmp_path / 'deep' / 'folder'):
        folder = tmp_path / 'deep' / 'folder'
        (folder / 'wheel.partial').mkdir()
        (folder / 'wheel.partial' / 'mmcv-2.1.0-cp311.whl').touch()
        (folder / 'mmcv-2.1.0.tar.gz').touch()
        assert installer.find_wheel(folder) is None
        (folder / 'mmcv-2.1.0-cp311.whl').touch()
        assert installer.find_wheel(folder) == folder / 'mmcv-2.1.0-cp311.whl'


def test_a_cache_that_cannot_be_written(installer, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(installer.InstallError, match='set MMTAL_WHEELS to a folder'):
        with installer.locked(tmp_path / 'file' / 'wheels'):
            pass


def test_a_missing_compiler_is_said_before_anything_is_fetched(
    installer, monkeypatch, tmp_path
):
    monkeypatch.setenv('CXX', '/nowhere/g++ -O1')
    with pytest.raises(installer.InstallError, match=r'no C\+\+ compiler \(/nowhere/g'):
        installer.compile_wheel(tmp_path, '2.1.0', None)
    assert not any(tmp_path.iterdir())


def test_missing_headers_of_python(installer, monkeypatch, tmp_path):
    monkeypatch.setenv('CXX', sys.executable)
    monkeypatch.setattr(
        installer.sysconfig, 'get_paths', lambda: dict(include=str(tmp_path))
    )
    with pytest.raises(installer.InstallError, match=r'apt install python3\.\d+-dev'):
        installer.check_compiler()


def test_an_archive_that_lies_there_needs_no_network(installer, tmp_path):
    source = tmp_path / 'made' / 'mmcv-9.9'
    source.mkdir(parents=True)
    (source / 'setup.py').write_text('')
    folder = tmp_path / 'cache'
    folder.mkdir()
    with tarfile.open(folder / 'mmcv-9.9.tar.gz', 'w:gz') as archive:
        archive.add(source, 'mmcv-9.9')
    # What an interrupted try has left is in nobody's way.
    (folder / 'source.partial' / 'mmcv-9.9').mkdir(parents=True)
    unpacked = installer.unpacked_source(folder, '9.9')
    assert unpacked == folder / 'mmcv-9.9' and (unpacked / 'setup.py').is_file()
    # The second time it is not unpacked again: what was compiled there is kept.
    (unpacked / 'build').mkdir()
    assert (installer.unpacked_source(folder, '9.9') / 'build').is_dir()


def test_without_network_the_remedy_is_named(installer, monkeypatch, tmp_path):
    monkeypatch.setattr(installer, 'PIP', (sys.executable, '-c', 'exit(1)'))
    with pytest.raises(installer.InstallError) as caught:
        installer.unpacked_source(tmp_path, '2.1.0')
    assert f'put mmcv-2.1.0.tar.gz into {tmp_path} yourself' in str(caught.value)
    assert os.listdir(tmp_path) == []
