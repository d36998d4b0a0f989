"""Two networks in one pass, and the same from saved raw outputs."""

import copy
import json

import numpy as np
import pytest
import torch
from join_streams import join_streams
from mmaction.registry import METRICS, MODELS
from tiny_models import SIZE, T, clip_sample, reduced
from torch.testing import assert_close

from mmtal_mts.apis import load_config, prepare_test_config
from mmtal_mts.evaluation.metrics import RAW_FILE, load_raw_outputs
from mmtal_mts.utils import UserError

STEM = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic'
CLASSES = ('move_left', 'move_right', 'circle', 'shake', 'grow', 'approach_leave')
# Two videos, of which one has two windows.
VIDEOS = dict(a=(4.8, 'circle'), b=(3.0, 'grow'))
WINDOWS = [('a', 0), ('a', 16), ('b', 0)]


@pytest.fixture
def cfg(repo_root, tmp_path):
    """The two-stream config of the synthetic videos, with two videos of its own."""
    database, ann = {}, tmp_path / 'ann.json'
    for name, (duration, label) in VIDEOS.items():
        action = dict(segment=[0.5, 2.0], label=label)
        database[name] = dict(duration=duration, subset='test', annotations=[action])
    ann.write_text(json.dumps(dict(database=database, classes=CLASSES)))
    cfg = load_config(repo_root / f'{STEM}-two-stream.py')
    for name in ('rgb', 'flow'):
        cfg.model[name] = dict(reduced(cfg.model[name], 3, 0.0625), warmup_head=None)
    for model in (cfg.model, cfg.model.rgb, cfg.model.flow):
        # An untrained network is sure of nothing.
        model.test_cfg = dict(score_thr=0.0, nms=dict(sigma=0.5, min_score=1e-4))
    cfg.test_evaluator = dict(type='TALMetric', ann_file=str(ann), subset='test')
    return cfg


@pytest.fixture(scope='module')
def fuse_streams(load_tool):
    return load_tool('fuse_streams.py').fuse_streams


def build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg.model))
    model.init_weights()
    return model.eval()


def batch(begin, end, channels=slice(None)):
    """Windows begin:end, of which only some channels."""
    inputs, samples = [], []
    for video_id, offset in WINDOWS[begin:end]:
        generator = torch.Generator().manual_seed(offset + 1000 * ord(video_id))
        clip = torch.randint(0, 256, (5, T, SIZE, SIZE), generator=generator).byte()
        inputs.append(clip[channels])
        facts = dict(video_id=video_id, duration=VIDEOS[video_id][0])
        samples.append(clip_sample(offset=offset, **facts))
    return dict(inputs=inputs, data_samples=samples)


def run_test(model, metric, channels=slice(None)):
    """Tests a model as the runner does, in batches of two windows."""
    metric = METRICS.build(metric)
    metric.dataset_meta = dict(classes=CLASSES)
    for begin in range(0, len(WINDOWS), 2):
        with torch.no_grad():
            samples = model.test_step(batch(begin, begin + 2, channels))
        metric.process(None, [sample.to_dict() for sample in samples])
    return metric.evaluate(len(WINDOWS))


def dump(model, folder, channels=slice(None)):
    """Raw outputs of a network."""
    model.keep_raw = True
    run_test(model, dict(type='RawOutputWriter', folder=str(folder)), channels)
    return folder


def dump_both(model, folder):
    """Raw outputs of both networks, each tested alone."""
    rgb = dump(model.rgb, folder / 'rgb', slice(0, 3))
    return rgb, dump(model.flow, folder / 'flow', slice(3, 5))


def detections(path):
    """Score by video, label and rounded segment."""
    return {
        (video_id, entry['label'], *np.round(entry['segment'], 3)): entry['score']
        for video_id, entries in json.loads(path.read_text())['results'].items()
        for entry in entries
    }


@pytest.mark.parametrize('fusion', ['raw', 'geometric'])
@pytest.mark.parametrize('weights', [(1.0, 1.0), (1.0, 3.0)])
def test_fusing_saved_outputs_is_the_joint_run(
    cfg, tmp_path, fuse_streams, fusion, weights
):
    cfg.model.weights, cfg.model.test_cfg.fusion = weights, fusion
    model = build(cfg)
    joint, fused = tmp_path / 'joint.json', tmp_path / 'fused.json'
    wanted = run_test(model, dict(cfg.test_evaluator, dump_path=str(joint)))
    cfg.test_evaluator.dump_path = str(fused)
    found = fuse_streams(cfg, dump_both(model, tmp_path), weights)
    assert found == pytest.approx(wanted, abs=1e-6)
    one, two = detections(joint), detections(fused)
    for video_id in 'ab':
        rows = {key for key in one if key[0] == video_id}
        shared = rows & two.keys()
        # Rounded times may fall to another side.
        assert len(rows) > 50 and len(shared) > 0.98 * len(rows)
        assert all(two[key] == pytest.approx(one[key], abs=1e-5) for key in shared)


def test_tensor_mode_and_raw_outputs_are_the_weighted_mean_of_both(cfg, tmp_path):
    cfg.model.weights = (1.0, 3.0)
    model = build(cfg)
    frames = model.data_preprocessor(batch(0, 3))['inputs']
    with torch.no_grad():
        both, rgb, flow = (
            model(frames),
            model.rgb(frames[:, :3]),
            model.flow(frames[:, 3:]),
        )
    assert set(both) == set(rgb)
    assert torch.equal(both['points'], rgb['points'])
    for key in set(rgb) - {'points'}:
        assert_close(both[key], 0.25 * rgb[key] + 0.75 * flow[key])
    raw = load_raw_outputs(dump(model, tmp_path / 'raw'))
    assert [(w['video_id'], w['window_offset']) for w in raw['windows']] == WINDOWS
    assert raw['classes'] == dict(classes=list(CLASSES))
    window = raw['windows'][2]
    assert window['num_frames'] == T and window['duration'] == 3.0
    for key, value in both.items():
        wanted = value if key == 'points' else value[2]
        assert_close(window['outputs'][key], wanted, atol=1e-5, rtol=1e-5)


def test_decoding_one_stream_again_is_its_own_test(cfg, tmp_path, fuse_streams):
    model = build(cfg)
    wanted = run_test(model.flow, cfg.test_evaluator, slice(3, 5))
    folders = dump_both(model, tmp_path)
    assert fuse_streams(cfg, folders[1:]) == pytest.approx(wanted, abs=1e-9)
    assert fuse_streams(cfg, folders, (0, 2)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize('weights', [(1,), (1, -1), (0, 0), (1, float('nan'))])
def test_impossible_weights(cfg, tmp_path, fuse_streams, weights):
    with pytest.raises(ValueError, match='weights='):
        fuse_streams(cfg, [tmp_path, tmp_path], weights)
    cfg.model.weights = weights
    with pytest.raises(ValueError, match='weights='):
        build(cfg)


def test_what_the_detector_refuses(cfg):
    model, clip = build(cfg), torch.zeros(1, 5, T, SIZE, SIZE)
    for frames, mode, message in (
        (clip, 'loss', 'does not train.*join_streams.py'),
        (clip[:, :3], 'tensor', '3 channels.*3 \\+ 2.*AppendClip'),
        (clip, 'train', "mode='train'"),
    ):
        with pytest.raises(ValueError, match=message):
            model(frames, [], mode=mode)
    for head in ('coarse_head', 'refine_head'):
        cfg.model.flow[head].num_classes = 2
    with pytest.raises(ValueError, match='num_classes=6, flow has num_classes=2'):
        build(cfg)


def test_checkpoints_are_joined(cfg, tmp_path):
    parts = build(cfg)
    paths = [str(tmp_path / f'{name}.pth') for name in ('rgb', 'flow')]
    for net, path in zip((parts.rgb, parts.flow), paths, strict=True):
        torch.save(dict(state_dict=net.state_dict()), path)
    out = tmp_path / 'new' / 'joint.pth'
    join_streams(cfg, *paths, str(out))
    weights = torch.load(out, weights_only=True)['state_dict']
    wanted = parts.state_dict()
    assert weights.keys() == wanted.keys()
    assert all(torch.equal(weights[key], wanted[key]) for key in wanted)
    for path, classes in zip(paths, ('ab', 'ba'), strict=True):
        content = torch.load(path, weights_only=True)
        torch.save(dict(content, meta=dict(dataset_meta=dict(classes=classes))), path)
    with pytest.raises(UserError, match='both need the same order'):
        join_streams(cfg, *paths, str(out))
    with pytest.raises(UserError, match=r'flow\.pth is of another architecture'):
        join_streams(cfg, *paths[::-1], str(out))
    cfg.model = cfg.model.rgb
    with pytest.raises(UserError, match="'TALMTS'.*two streams"):
        join_streams(cfg, *paths, str(out))


def test_dump_raw_is_an_option_of_a_test(cfg, tmp_path):
    options = dict(checkpoint='x.pth', dump_raw=str(tmp_path))
    prepared = prepare_test_config(copy.deepcopy(cfg), **options)
    assert prepared.model.keep_raw is True
    kinds = [metric['type'] for metric in prepared.test_evaluator]
    assert kinds == ['TALMetric', 'RawOutputWriter']
    (tmp_path / RAW_FILE).touch()
    with pytest.raises(UserError, match='holds the raw outputs of another run'):
        prepare_test_config(cfg, **options)
