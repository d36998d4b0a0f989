"""Every config builds; at a reduced size it runs forward, backward and one step."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from tiny_models import SIZE, T, clip_sample, is_of_features, reduced

from mmtal_mts.utils.checkpoint import load_model_weights

ROOT = Path(__file__).parents[1] / 'configs'
ALL = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('[!_]*/*.py'))
# Two trained networks joined, for testing only.
TWO_STREAM = [name for name in ALL if name.endswith('-two-stream.py')]
CONFIGS = [name for name in ALL if name not in TWO_STREAM]
SIDE = 36  # of the frames that are cropped
PAPER = '_i3d_1xb1-256x96x96-25e_thumos14'
MODULES = {  # Table VI: merges of RFP, STT, FSA
    'ablation_baseline': (1, False, False),
    'ablation_rfp': (None, False, False),
    'ablation_stt': (1, True, False),
    'ablation_rfp-stt': (None, True, False),
    'tal-mts_i3d': (None, True, True),
}


def start(net: dict) -> str:
    """The checkpoint that the backbone of a network starts from, or nothing."""
    return (net.get('backbone', {}).get('init_cfg') or {}).get('checkpoint', '')


def load(name: str) -> Config:
    cfg = Config.fromfile(str(ROOT / name))
    streams = [cfg.model[key] for key in ('rgb', 'flow') if key in cfg.model]
    for net in streams or [cfg.model]:
        net.backbone.pop('pretrained', None)  # a download
        if start(net).startswith('work_dirs/'):
            net.backbone.init_cfg = None  # a training before this one
    return cfg


def batch(cfg: Config):
    channels = cfg.model.backbone.get('in_channels', 3)
    generator = torch.Generator().manual_seed(0)
    if is_of_features(cfg.model):
        inputs = torch.rand(channels, T, generator=generator)
    else:
        shape = (channels, T, SIZE, SIZE)
        inputs = torch.randint(0, 256, shape, generator=generator).byte()
    return dict(inputs=[inputs], data_samples=[clip_sample([[2.0, 22.0]], [0])])


@pytest.mark.parametrize('name', CONFIGS)
def test_reduced_model_takes_a_training_step(name):
    cfg = load(name)
    torch.manual_seed(0)
    model = MODELS.build(reduced(cfg.model))
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = copy.deepcopy(model.state_dict())
    losses = model.train_step(batch(cfg), optimizer)
    assert torch.isfinite(losses['loss']) and losses['loss'] > 0
    after = model.state_dict().items()
    moved = {k.split('.')[0] for k, value in after if not torch.equal(value, before[k])}
    assert moved >= {'backbone', 'neck', 'coarse_head', 'refine_head'}

    model.eval()
    with torch.no_grad():
        (sample,) = model.test_step(batch(cfg))
    assert torch.isfinite(sample.pred_instances.segments).all()


def stream_configs(name: str) -> dict[str, Config]:
    """The configs by which the networks of a two-stream config are trained."""
    stem = name.replace('-two-stream.py', '')
    ends = dict(rgb=('-rgb.py', f'{Path(stem).name}.py'), flow='-flow.py')
    near = [other for other in CONFIGS if re.sub('-25e', '', other).startswith(stem)]
    found = {key: [o for o in near if o.endswith(end)] for key, end in ends.items()}
    assert [len(names) for names in found.values()] == [1, 1], near
    return {key: load(names[0]) for key, names in found.items()}


def reduced_data(cfg: Config, folder: Path):
    """The test set of a config over one video of 40 frames, RGB and flow."""
    generator = np.random.default_rng(0)
    for name, channels in (('rgb_npy', 3), ('flow_npy', 2)):
        (folder / name).mkdir()
        frames = generator.integers(0, 256, (40, SIDE, SIDE, channels), np.uint8)
        np.save(folder / name / 'v.npy', frames)
    settings = dict(cfg.test_dataloader.dataset)
    classes = list(settings.get('classes') or ('run', 'jump'))
    action = dict(segment=[0.5, 2.5], label=classes[0])
    video = dict(duration=4.0, annotations=[action], subset=settings['subsets'])
    contents = dict(annotations=dict(classes=classes, database={'v': video}))
    contents['scores'] = {'v': dict.fromkeys(classes, 0.5)}
    for name, content in contents.items():
        (folder / f'{name}.json').write_text(json.dumps(content))
    changes = dict(
        CenterCrop=dict(crop_size=SIZE),
        LoadClip=dict(scale=(SIDE, SIDE)),
        AppendClip=dict(data_root=str(folder)),
        LoadVideoScores=dict(ann_file=str(folder / 'scores.json')),
    )
    steps = [step | changes.get(step['type'], {}) for step in settings['pipeline']]
    settings.update(
        data_root=str(folder),
        ann_file='annotations.json',
        data_prefix=dict(video='rgb_npy'),
        source_type='npy',
        clip_len=T,
        window_stride=T // 2,
        pipeline=steps,
    )
    if settings.get('num_frames_per_video'):
        settings['num_frames_per_video'] = T
    return DATASETS.build(settings)


@pytest.mark.parametrize('name', TWO_STREAM)
def test_two_trained_streams_are_tested_in_one_pass(name, tmp_path):
    cfg = load(name)
    joint = dict(cfg.model, rgb=reduced(cfg.model.rgb), flow=reduced(cfg.model.flow))
    for stream, own in stream_configs(name).items():
        # They take their training step in the test above.
        assert own.model.to_dict() == cfg.model[stream].to_dict()
    for net in (joint, joint['rgb'], joint['flow']):
        net['test_cfg']['score_thr'] = 0.0  # untrained networks are sure of nothing
    torch.manual_seed(0)
    joint = MODELS.build(joint).eval()
    joint.init_weights()
    steps, single = (
        [step['type'] for step in cfg[f'{use}_dataloader'].dataset.pipeline]
        for use in ('test', 'val')
    )
    assert [step for step in steps if step != 'AppendClip'] == single
    dataset = reduced_data(cfg, tmp_path)
    data = pseudo_collate([dataset[index] for index in range(len(dataset))])
    assert {clip.shape for clip in data['inputs']} == {(5, T, SIZE, SIZE)}
    with torch.no_grad():
        samples = joint.test_step(data)
    assert len(samples) == len(dataset)
    for found in (sample.pred_instances for sample in samples):
        assert torch.isfinite(found.segments).all() and len(found.segments)
        assert 0 < found.scores.max() <= 1
    ann_file = str(tmp_path / 'annotations.json')
    metric = METRICS.build(dict(cfg.test_evaluator, ann_file=ann_file))
    metric.dataset_meta = dataset.metainfo
    metric.process(None, [sample.to_dict() for sample in samples])
    assert all(0 <= value <= 1 for value in metric.evaluate(len(dataset)).values())


@pytest.mark.parametrize(
    'name', [name for name in CONFIGS if 'tal_mts/' in name and PAPER in name]
)
def test_table_vi_switches_the_right_modules(name):
    model = load(name).model
    prefix = next(key for key in MODULES if Path(name).name.startswith(key + '_'))
    merges, stt, fsa = MODULES[prefix]
    assert model.neck.rfp.get('num_merges') == merges
    assert not model.neck.rfp.cumulative
    assert (model.neck.stt is not None) == stt == model.coarse_head.with_context
    assert (model.refine_head.fsa is not None) == fsa


@pytest.mark.parametrize('name', CONFIGS)
def test_streams_and_sizes_agree(name):
    cfg = load(name)
    dataset = cfg.train_dataloader.dataset
    flow = dataset.get('modality') == 'Flow'
    assert flow == name.endswith('-flow.py')
    wanted = 2 if flow else 3
    if is_of_features(cfg.model):
        wanted = cfg.feature_channels
        pipelines = [cfg[f'{d}_dataloader'].dataset.pipeline for d in ('train', 'test')]
        assert [steps[0].channels for steps in pipelines] == [wanted] * 2
    readers = [cfg.model.backbone, cfg.model.neck.stt, cfg.model.refine_head.fsa]
    assert {r.get('in_channels', 3) for r in readers if r is not None} == {wanted}
    if cfg.model.neck.stt is not None:
        assert cfg.model.neck.stt.clip_len == dataset.clip_len
    classes = 1 if dataset.get('class_agnostic') else len(dataset.classes)
    for head in (cfg.model.coarse_head, cfg.model.refine_head):
        assert head.num_classes == classes
    if is_of_features(cfg.model):
        size, batch_size = f'{cfg.clip_len}x{wanted}', cfg.train_dataloader.batch_size
        assert f'_1xb{batch_size}-{size}-' in name
        return
    assert f'-{cfg.clip_len}x{cfg.crop_size}x{cfg.crop_size}' in name
    if cfg.model.backbone.type == 'BackboneAdapter':
        clip = (cfg.model.backbone.clip_len, cfg.model.backbone.crop_size)
        assert clip == (cfg.clip_len, cfg.crop_size)


@pytest.mark.parametrize(
    ('dataset', 'alpha'), [('thumos14', 10.0), ('activitynet', 1.0)]
)
def test_settings_of_the_paper(dataset, alpha):
    length = 256 if dataset == 'thumos14' else 768
    cfg = load(f'tal_mts/tal-mts_i3d_1xb1-{length}x96x96-25e_{dataset}-rgb.py')
    coarse, refine = cfg.model.coarse_head, cfg.model.refine_head
    assert coarse.loss_loc.loss_weight == refine.loss_loc.loss_weight == alpha
    assert refine.loss_quality.loss_weight == 1.0
    assert cfg.train_cfg.max_epochs == 25
    adam = cfg.optim_wrapper.optimizer
    assert (adam.type, adam.lr, adam.weight_decay) == ('Adam', 1e-5, 1e-3)
    assert cfg.train_dataloader.batch_size == 1
    assert cfg.model.neck.stt.patch_size == cfg.model.refine_head.fsa.patch_size == 24
    train, test = (d.dataset for d in (cfg.train_dataloader, cfg.test_dataloader))
    if dataset == 'thumos14':
        assert (train.window_stride, test.window_stride) == (30, 128)
        assert train.sample_fps == 10
    else:
        assert train.num_frames_per_video == test.num_frames_per_video == 768


MODELS_OF = {name: Config.fromfile(str(ROOT / name)).model for name in ALL}
STARTS = [name for name, net in MODELS_OF.items() if start(net).startswith('zoo/')]


@pytest.mark.parametrize('name', STARTS)
def test_released_starts_fit_their_backbones(name, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    backbone = load(name).model.backbone
    init = backbone.pop('init_cfg')
    load_model_weights(MODELS.build(backbone), init.checkpoint, init.prefix)


def test_real_timelines_of_frames_start_from_released_models():
    names = {Path(name).stem.rpartition('_')[2] for name in STARTS}
    assert names == {'weizmann', 'ut-interaction'}
