"""Configs that start from a model of the zoo find it, and it fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config

import mmtal_mts  # noqa: F401  registers the components
from mmtal_mts.utils.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[1] / 'configs'


def start(path: Path) -> str:
    """The checkpoint that the backbone of a config starts from, or nothing."""
    backbone = Config.fromfile(str(path)).model.get('backbone', {})
    return (backbone.get('init_cfg') or {}).get('checkpoint', '')


STARTS = [
    str(path.relative_to(ROOT))
    for path in sorted(ROOT.glob('[!_]*/*.py'))
    if start(path).startswith('zoo/')
]


@pytest.mark.parametrize('name', STARTS)
def test_released_starts_fit_their_backbones(name, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    backbone = Config.fromfile(str(ROOT / name)).model.backbone
    start = backbone.pop('init_cfg')
    network = MODELS.build(backbone)
    weights = load_checkpoint(start.checkpoint)['state_dict']
    own = {
        key[len(start.prefix) :]: value
        for key, value in weights.items()
        if key.startswith(start.prefix)
    }
    assert own
    network.load_state_dict(own, strict=True)


def test_real_timelines_start_from_released_models():
    assert {Path(name).stem.rpartition('_')[2] for name in STARTS} == {
        'weizmann',
        'weizmann-flow',
        'ut-interaction',
        'ut-interaction-flow',
    }
