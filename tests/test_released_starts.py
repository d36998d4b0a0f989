"""Configs that start from a model of the zoo find it, and it fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config

from mmtal_mts.utils.checkpoint import load_model_weights

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
    init = backbone.pop('init_cfg')
    load_model_weights(MODELS.build(backbone), init.checkpoint, init.prefix)


def test_real_timelines_of_frames_start_from_released_models():
    names = {Path(name).stem.rpartition('_')[2] for name in STARTS}
    assert names == {'weizmann', 'ut-interaction'}
