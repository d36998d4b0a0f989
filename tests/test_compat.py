"""Each repair of the stack: broken without it, working with it, and no more."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import runpy
import sys
import warnings
from unittest.mock import Mock

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from toy_runner import run_child

from mmtal_mts import compat

DRN = 'mmaction.models.localizers.drn'
lacks_drn = pytest.mark.skipif(
    (compat._folder('mmaction') / 'models/localizers/drn').exists(),
    reason='this mmaction2 has DRN',
)


@lacks_drn
@pytest.mark.parametrize('repair, message', [('', DRN), ('import mmtal_mts; ', '')])
def test_mmaction_imports_with_the_repair_only(repair, message):
    code = f'{repair}import mmaction.models'
    failed, output = run_child(sys.executable, '-W', 'ignore', '-c', code)
    assert bool(failed) == bool(message) and message in output, output


@lacks_drn
def test_drn_is_provided_once_and_only_where_it_lacks(tmp_path, monkeypatch):
    before = sys.modules[DRN]
    compat._provide_drn()
    assert sys.modules[DRN] is before
    with pytest.raises(NotImplementedError, match='missing .* mmaction2 wheel'):
        MODELS.build(dict(type='DRN'))
    (tmp_path / 'models' / 'localizers' / 'drn').mkdir(parents=True)
    monkeypatch.delitem(sys.modules, DRN, raising=False)
    monkeypatch.setattr(compat, '_folder', lambda name: tmp_path)
    compat._provide_drn()
    assert DRN not in sys.modules


def pretend(monkeypatch, module, name, argument, result):
    """Lets one function answer one question in another way."""
    real = getattr(module, name)
    monkeypatch.setattr(
        module, name, lambda asked: result if asked == argument else real(asked)
    )


@pytest.mark.parametrize('version', ['2.13.0+cpu', '2.6.0a0+git1'])
def test_releases_to_come_and_builds_for_a_gpu_fit(monkeypatch, version):
    pretend(monkeypatch, importlib.metadata, 'version', 'torch', version)
    compat._check_versions()


@pytest.mark.parametrize(
    'installed',
    [
        *('torch 2.5.1', 'numpy 1.25.2', 'mmengine 0.7.4', 'mmengine 1.0.0'),
        *('mmcv-lite 2.2.0', 'mmcv-lite 1.7.2'),
        *('mmaction2 0.24.1', 'mmaction2 2.0.0rc4'),
    ],
)
def test_another_version_names_the_remedy(monkeypatch, installed):
    package, version = installed.split()
    pretend(monkeypatch, importlib.metadata, 'version', package, version)
    wanted = next(x for x in compat.REQUIREMENTS.values() if x.startswith(package))
    with pytest.raises(compat.StackError) as error:
        compat._check_versions()
    needs = f"mmtal_mts needs {wanted}. Remedy: pip install '{wanted}'"
    assert f' {version} is installed, but {needs}' in str(error.value)


@pytest.mark.parametrize('module', compat.REQUIREMENTS)
def test_a_missing_package_names_the_remedy(monkeypatch, module):
    pretend(monkeypatch, importlib.util, 'find_spec', module, None)
    message = f"{module} is not installed. Remedy: pip install '{module[:5]}"
    with pytest.raises(compat.StackError, match=message.replace('_', '.')):
        compat._check_versions()


@pytest.mark.parametrize(
    ('error', 'remedy'),
    [
        (ImportError('libGL.so.1: cannot open'), 'opencv-contrib-python-headless'),
        (ModuleNotFoundError(name='cv2'), 'pip install opencv-contrib-python'),
    ],
)
def test_broken_opencv_names_the_remedy(monkeypatch, error, remedy):
    compat._check_opencv()
    broken = Mock(side_effect=error)
    monkeypatch.setattr(compat.importlib, 'import_module', broken)
    with pytest.raises(compat.StackError, match=remedy):
        compat._check_opencv()


def test_packages_are_found_without_pkg_resources(tmp_path, monkeypatch):
    """setuptools 82 removed it; here it is hidden where an older one is installed."""
    # Mmengine reads a base config that is named by package.
    config = tmp_path / 'config.py'
    config.write_text("_base_ = 'mmaction::_base_/default_runtime.py'\n")
    assert Config.fromfile(str(config)).default_scope == 'mmaction'
    import mmengine.utils.package_utils as installed

    fresh = runpy.run_path(installed.__file__)
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)
    with pytest.raises(ModuleNotFoundError, match='pkg_resources'):
        fresh['is_installed']('mmaction')
    names = dict(mmaction2='mmaction', mmaction='mmaction', mmengine='mmengine')
    for name, module in names.items():
        assert compat.is_installed(name)
        assert compat.get_installed_path(name).endswith(module)
    assert not compat.is_installed('no_such_package')
    with pytest.raises(ModuleNotFoundError, match='pip install no_such_package'):
        compat.get_installed_path('no_such_package')


def test_the_warning_of_mmcv_lite_is_silenced():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        compat.apply()
        for text in ('Fail to import ``MultiScaleDeformableAttention``', 'another'):
            warnings.warn(text, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ['another']


def test_what_mmaction2_needs_and_does_not_require_is_required(repo_root):
    requirements = (repo_root / 'requirements' / 'runtime.txt').read_text()
    assert 'importlib-metadata' in requirements.splitlines()
