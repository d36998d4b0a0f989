from __future__ import annotations

import importlib.util
import json
import re

import pytest
import torch
from export import ExportedDetector, compare, example_inputs, export_model
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_models import T, clip_sample, reduced

from mmtal_mts.apis.onnx_detector import OnnxDetector
from mmtal_mts.models.dense_heads import complete_test_cfg
from mmtal_mts.utils import UserError

BASE = 'configs/tal_mts/tal-mts_i3d-tiny-features_1xb32-64x232-12e_synthetic.py'
needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ('onnx', 'onnxruntime')),
    reason='onnx and onnxruntime are not installed: requirements/export.txt',
)


@pytest.fixture(scope='module')
def model(tmp_path_factory, request):
    """Config and checkpoint of the whole detector on features, three levels deep."""
    cfg = Config.fromfile(str(request.config.rootpath / BASE))
    init_default_scope('mmaction')
    cfg.model = reduced(cfg.model)
    cfg.clip_len = cfg.test_dataloader.dataset.clip_len = T
    path = tmp_path_factory.mktemp('export') / 'model.pth'
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    return cfg, str(path)


@needs_onnx
@pytest.mark.parametrize(('ends_with', 'batch'), [('raw', 2), ('decoded', 1)])
def test_onnx_computes_what_torch_computes(model, tmp_path, ends_with, batch):
    cfg, weights = model
    path = tmp_path / 'model.onnx'
    found = export_model(cfg, weights, path, ends_with, batch)
    assert found.startswith('3 batches') and ' 0.0000 % of the values' in found
    assert max(map(float, re.findall(r'\d\.\de[-+]\d+', found))) < 1e-4
    import onnx

    # Operators of the standard alone, boundary pooling included.
    graph = onnx.load(str(path))
    assert {node.domain for node in graph.graph.node} <= {'', 'ai.onnx'}
    detector = OnnxDetector(str(path), cfg)
    facts = detector.session.get_modelmeta().custom_metadata_map
    names = ('mmtal_ends_with', 'mmtal_clip_len')
    assert [json.loads(facts[name]) for name in names] == [ends_with, T]

    # The runner gives the detections of the model itself, for any number of clips.
    clips = example_inputs(cfg, 3, seed=7)
    samples = [clip_sample(offset=3.5, fps=2.0) for _ in clips]
    network = ExportedDetector(cfg, weights).model
    network.test_cfg = complete_test_cfg(dict(score_thr=0.0))
    with torch.no_grad():
        wanted = network(clips, [s.clone() for s in samples], mode='predict')
    detector.test_cfg = network.test_cfg
    got = detector.test_step(dict(inputs=list(clips), data_samples=samples))
    assert detector.num_classes == 6
    assert detector.meta['dataset_meta']['classes'][0] == 'move_left'
    for a, b in zip(wanted, got, strict=True):
        for key in ('segments', 'scores', 'labels'):
            torch.testing.assert_close(
                a.pred_instances[key], b.pred_instances[key], rtol=1e-3, atol=1e-4
            )


@needs_onnx
def test_documented_program_needs_nothing_of_ours(
    tiny_model, tmp_path, repo_root, capsys, monkeypatch
):
    cfg = Config.fromfile(tiny_model.config)
    cfg.crop_size = 32
    export_model(cfg, tiny_model.weights, tmp_path / 'model.onnx', 'decoded')
    clip = example_inputs(cfg, 1)
    with torch.no_grad():
        segments, scores = ExportedDetector(cfg, tiny_model.weights, 'decoded')(clip)
    page = (repo_root / 'docs/models.md').read_text(encoding='utf-8')
    program = re.search(r'```python\n(import json.*?)```', page, re.DOTALL)[1]
    # The weights are random, so nothing has a high score.
    program = program.replace('> 0.3', '>= 0')
    monkeypatch.chdir(tmp_path)
    frames = clip[0].permute(1, 2, 3, 0).numpy()
    capsys.readouterr()
    exec(program, dict(frames=frames, window_offset=20))
    lines = capsys.readouterr().out.splitlines()
    fps = cfg.test_dataloader.dataset.sample_fps
    wanted = [
        f'{cfg.classes[label]}: {start:.2f} to {end:.2f} s, {score:.2f}'
        for (start, end), row in zip((segments[0] + 20) / fps, scores[0], strict=True)
        for label, score in enumerate(row)
    ]
    same = sum(a == b for a, b in zip(lines, wanted, strict=True))
    assert len(lines) == len(wanted) > 0
    # Numbers that lie between two hundredths may be rounded to the other one.
    assert same > 0.95 * len(wanted)


def test_torch_export_computes_what_torch_computes(model, tmp_path):
    found = export_model(*model, tmp_path / 'model.pt2')
    assert ' 0.0000 % of the values' in found and (tmp_path / 'model.pt2').is_file()


def test_normalisation_is_inside(tiny_model):
    cfg = Config.fromfile(tiny_model.config)
    exported = ExportedDetector(cfg, tiny_model.weights, 'raw')
    cfg.crop_size = 32
    clip = example_inputs(cfg, 1)
    assert clip.shape == (1, 3, 32, 32, 32) and 0 <= clip.min() <= clip.max() <= 255
    with torch.no_grad():
        # Rounded as the network does it: a last digit can move a boundary to another
        # whole position, where it pools something else.
        wanted = exported.model((clip - 127.5) / 127.5, mode='tensor')
        got = exported(clip)
    for a, b in zip(wanted.values(), got, strict=True):
        torch.testing.assert_close(a, b)


def test_differences_are_seen(model):
    cfg, weights = model
    exported = ExportedDetector(cfg, weights, 'decoded')
    batches = [example_inputs(cfg, 1), example_inputs(cfg, 2, seed=1)]

    def off(clip):
        with torch.no_grad():
            segments, scores = exported(clip)
        scores[:, 0] += 0.5
        segments[0, 0, 0] = torch.nan
        return segments, scores

    worst, share = compare(exported, off, batches)
    assert worst['scores'] == pytest.approx(0.5)
    # 3 clips of 56 locations with 2 + 6 values: 6 scores a clip, a bound a batch.
    assert share == pytest.approx((3 * 6 + 2) / (3 * 56 * 8))


def test_what_cannot_be_exported_is_told(model, tmp_path):
    other = Config(dict(model=dict(type='TwoStreamTALMTS')))
    for cfg, name, ends_with, message in (
        (model[0], 'model.bin', 'raw', 'must end with one of .onnx, .pt2'),
        (model[0], 'model.onnx', 'all', "ends_with='all'"),
        (other, 'model.onnx', 'raw', 'TwoStreamTALMTS cannot be exported'),
    ):
        with pytest.raises(UserError, match=message):
            export_model(cfg, model[1], tmp_path / name, ends_with)
    assert not list(tmp_path.iterdir())
