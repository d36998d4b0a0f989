"""Each repair of the stack: broken without it, working with it, and no more."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from mmengine.config import Config

from mmtal_mts import compat


def run_python(code: str, env: dict[str, str]) -> subprocess.CompletedProcess:
    """Runs code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def wheel_lacks_drn() -> bool:
    origin = importlib.util.find_spec('mmaction').origin
    return not (Path(origin).parent / 'models' / 'localizers' / 'drn').exists()


@pytest.mark.skipif(not wheel_lacks_drn(), reason='this mmaction2 has DRN')
class TestDrn:
    def test_import_fails_without_the_repair(self, child_env):
        result = run_python('import mmaction.models', child_env)
        assert result.returncode != 0
        assert 'mmaction.models.localizers.drn' in result.stderr

    def test_import_works_with_the_repair(self, child_env):
        code = 'import mmtal_mts, mmaction.models; print(mmtal_mts.__version__)'
        result = run_python(code, child_env)
        assert result.returncode == 0, result.stderr
        assert result.stdout.split() == ['0.1.0']

    def test_building_drn_says_what_is_wrong(self):
        from mmaction.registry import MODELS

        with pytest.raises(NotImplementedError, match='missing .* mmaction2 wheel'):
            MODELS.build(dict(type='DRN'))

    def test_repair_is_applied_once(self):
        before = sys.modules['mmaction.models.localizers.drn']
        compat.provide_drn()
        assert sys.modules['mmaction.models.localizers.drn'] is before

    def test_present_drn_is_left_alone(self, tmp_path, monkeypatch):
        localizers = tmp_path / 'models' / 'localizers'
        (localizers / 'drn').mkdir(parents=True)
        monkeypatch.delitem(sys.modules, 'mmaction.models.localizers.drn')
        spec = importlib.util.spec_from_file_location('x', tmp_path / '__init__.py')
        monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: spec)
        compat.provide_drn()
        assert 'mmaction.models.localizers.drn' not in sys.modules


class TestVersions:
    def test_installed_stack_fits(self):
        compat.check_versions()

    @pytest.mark.parametrize(
        ('package', 'version', 'remedy'),
        [
            ('torch', '2.5.1', "'torch>=2.6'"),
            ('numpy', '1.25.2', "'numpy>=1.26'"),
            ('mmengine', '0.7.4', "'mmengine>=0.10.0,<1.0.0'"),
            ('mmengine', '1.0.0', "'mmengine>=0.10.0,<1.0.0'"),
            ('mmcv', '2.2.0', "'mmcv-lite>=2.0.1,<2.2.0'"),
            ('mmcv', '1.7.2', "'mmcv-lite>=2.0.1,<2.2.0'"),
            ('mmaction2', '0.24.1', "'mmaction2>=1.2.0,<2.0.0'"),
        ],
    )
    def test_other_version_names_the_remedy(
        self, monkeypatch, package, version, remedy
    ):
        real = compat.importlib.metadata.version
        monkeypatch.setattr(
            compat.importlib.metadata,
            'version',
            lambda name: version if name == package else real(name),
        )
        with pytest.raises(compat.StackError) as error:
            compat.check_versions()
        assert f'{package} {version} is installed' in str(error.value)
        assert remedy in str(error.value)

    @pytest.mark.parametrize('requirement', compat.REQUIREMENTS, ids=lambda r: r[0])
    def test_missing_package_names_the_remedy(self, monkeypatch, requirement):
        real = importlib.util.find_spec
        monkeypatch.setattr(
            compat.importlib.util,
            'find_spec',
            lambda name: None if name == requirement[1] else real(name),
        )
        with pytest.raises(compat.StackError, match='is not installed. Remedy: pip'):
            compat.check_versions()

    @pytest.mark.parametrize(
        ('version', 'numbers'),
        [
            ('2.13.0+cpu', [2, 13, 0]),
            ('2.0', [2, 0, 0]),
            ('2.0.0rc4', [2, 0, 0]),
            ('2.6.0a0+git1', [2, 6, 0]),
            ('1', [1, 0, 0]),
        ],
    )
    def test_numbers_of_a_version(self, version, numbers):
        assert compat._numbers(version) == numbers


class TestOpenCV:
    @pytest.mark.parametrize(
        ('error', 'remedy'),
        [
            (
                ImportError('libGL.so.1: cannot open shared object file'),
                'opencv-contrib-python-headless',
            ),
            (
                ModuleNotFoundError("No module named 'cv2'", name='cv2'),
                'pip install opencv-contrib-python',
            ),
        ],
    )
    def test_broken_import_names_the_remedy(self, monkeypatch, error, remedy):
        def fail(name):
            raise error

        monkeypatch.setattr(compat.importlib, 'import_module', fail)
        with pytest.raises(compat.StackError) as caught:
            compat.check_opencv()
        assert remedy in str(caught.value)

    def test_import_that_works_is_accepted(self):
        compat.check_opencv()


class TestPkgResources:
    """setuptools 82 removed it; here it is hidden where an older one is installed."""

    @pytest.fixture
    def package_utils(self, monkeypatch):
        """MMEngine's own module, fresh, where ``pkg_resources`` is missing."""
        import mmengine.utils.package_utils as installed

        name = 'mmengine.fresh_package_utils'
        spec = importlib.util.spec_from_file_location(name, installed.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(sys.modules, 'pkg_resources', None)
        return module

    def test_fails_without_the_repair(self, package_utils):
        with pytest.raises(ModuleNotFoundError, match='pkg_resources'):
            package_utils.is_installed('mmaction')

    def test_replacement_finds_packages(self):
        assert compat._is_installed('mmaction2')
        assert compat._is_installed('mmaction')
        assert not compat._is_installed('no_such_package')
        assert Path(compat._get_installed_path('mmaction2')).name == 'mmaction'
        assert Path(compat._get_installed_path('mmengine')).name == 'mmengine'
        with pytest.raises(ModuleNotFoundError, match='pip install no_such_package'):
            compat._get_installed_path('no_such_package')

    def test_base_config_of_a_package_can_be_read(self, tmp_path):
        config = tmp_path / 'config.py'
        config.write_text("_base_ = 'mmaction::_base_/default_runtime.py'\n")
        assert Config.fromfile(str(config)).default_scope == 'mmaction'


def test_importlib_metadata_is_required(repo_root):
    """mmaction2 imports it without requiring it."""
    requirements = (repo_root / 'requirements' / 'runtime.txt').read_text()
    assert 'importlib-metadata' in requirements.splitlines()


def test_warning_of_mmcv_lite_is_silenced():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        compat.apply()
        warnings.warn(
            'Fail to import ``MultiScaleDeformableAttention`` from', stacklevel=1
        )
        warnings.warn('another', stacklevel=1)
    assert [str(warning.message) for warning in caught] == ['another']
