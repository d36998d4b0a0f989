"""Every config builds; at a reduced size it runs forward, backward and one step."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from tiny_models import SIZE, T, clip_sample, is_of_features, reduced

from mmtal_mts.datasets import LoadClip
from mmtal_mts.utils import write_json
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


def load(name: str) -> Config:
    cfg = Config.fromfile(str(ROOT / name))
    streams = [cfg.model[key] for key in ('rgb', 'flow') if key in cfg.model]
    for net in streams or [cfg.model]:
        net.backbone.pop('pretrained', None)  # a download
        start = net.backbone.get('init_cfg') or {}
        if start.get('checkpoint', '').startswith('work_dirs/'):
            net.backbone.init_cfg = None  # a training before this one
    return cfg


def batch(cfg: Config):
    channels = cfg.model.backbone.get('in_channels', 3)
    if is_of_features(cfg.model):
        inputs = torch.rand(channels, T)
    else:
        inputs = torch.randint(0, 256, (channels, T, SIZE, SIZE)).byte()
    return dict(inputs=[inputs], data_samples=[clip_sample([[2.0, 22.0]], [0])])


@pytest.mark.parametrize('name', CONFIGS)
def test_reduced_model_takes_a_training_step(name):
    cfg = load(name)
    torch.manual_seed(0)
    model = MODELS.build(reduced(cfg.model))
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before, data = copy.deepcopy(model.state_dict()), batch(cfg)
    losses = model.train_step(data, optimizer)
    assert torch.isfinite(losses['loss']) and losses['loss'] > 0
    after = model.state_dict().items()
    moved = {k.split('.')[0] for k, value in after if not torch.equal(value, before[k])}
    assert moved >= {'backbone', 'neck', 'coarse_head', 'refine_head'}
    with torch.no_grad():
        (sample,) = model.eval().test_step(data)
    assert torch.isfinite(sample.pred_instances.segments).all()


def reduced_data(cfg: Config, folder: Path):
    """The test set of a config over one video of 40 frames, RGB and flow."""
    for name, channels in (('rgb_npy', 3), ('flow_npy', 2)):
        (folder / name).mkdir()
        frames = torch.randint(0, 256, (40, SIDE, SIDE, channels)).byte()
        np.save(folder / name / 'v.npy', frames)
    settings = dict(cfg.test_dataloader.dataset)
    classes = list(settings.get('classes') or ('run', 'jump'))
    action = dict(segment=[0.5, 2.5], label=classes[0])
    video = dict(duration=4.0, annotations=[action], subset=settings['subsets'])
    write_json(
        folder / 'annotations.json', dict(classes=classes, database={'v': video})
    )
    write_json(folder / 'scores.json', {'v': dict.fromkeys(classes, 0.5)})
    changes = dict(
        CenterCrop=dict(crop_size=SIZE),
        LoadClip=dict(scale=(SIDE, SIDE)),
        AppendClip=dict(data_root=str(folder)),
        LoadVideoScores=dict(ann_file=str(folder / 'scores.json')),
    )
    settings.update(
        data_root=str(folder),
        ann_file='annotations.json',
        data_prefix=dict(video='rgb_npy'),
        source_type='npy',
        clip_len=T,
        window_stride=T // 2,
        pipeline=[step | changes.get(step.type, {}) for step in settings['pipeline']],
        num_frames_per_video=T if settings.get('num_frames_per_video') else None,
    )
    return DATASETS.build(settings)


@pytest.mark.parametrize('name', TWO_STREAM)
def test_two_trained_streams_are_tested_in_one_pass(name, tmp_path):
    cfg = load(name)
    joint = dict(cfg.model, rgb=reduced(cfg.model.rgb), flow=reduced(cfg.model.flow))
    stem = name.replace('-two-stream.py', '')
    near = [other for other in CONFIGS if other.replace('-25e', '').startswith(stem)]
    rgb = '-rgb.py', f'{Path(stem).name}.py'
    for stream, ends in dict(rgb=rgb, flow='-flow.py').items():
        # They take their training step in the test above.
        (own,) = (load(other) for other in near if other.endswith(ends))
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


@pytest.mark.parametrize(
    'name', [name for name in CONFIGS if 'tal_mts/' in name and PAPER in name]
)
def test_table_vi_switches_the_right_modules(name):
    model = load(name).model
    prefix = next(key for key in MODULES if Path(name).name.startswith(key + '_'))
    merges, stt, fsa = MODULES[prefix]
    assert model.neck.rfp.get('num_merges') == merges
    # The text of the paper: top-down sums without parameters.
    assert model.neck.rfp.cumulative and not model.neck.rfp.get('gated')
    assert (model.neck.stt is not None) == stt == model.coarse_head.with_context
    assert (model.refine_head.fsa is not None) == fsa


@pytest.mark.parametrize('name', CONFIGS)
def test_streams_and_sizes_agree(name):
    cfg = load(name)
    dataset = cfg.train_dataloader.dataset
    is_flow = dataset.get('modality') == 'Flow'
    assert is_flow == name.endswith('-flow.py')
    wanted = 2 if is_flow else 3
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


@pytest.mark.parametrize('name', CONFIGS)
def test_padding_is_what_the_preprocessor_subtracts(name):
    cfg = load(name)
    if is_of_features(cfg.model):
        return  # zeros, and nothing is subtracted
    for use in ('train', 'val', 'test'):
        step = cfg[f'{use}_dataloader'].dataset.pipeline[0]
        assert step.type == 'LoadClip'
        # AFSD pads black in training on THUMOS14.
        is_black = use == 'train' and name.startswith('afsd/') and 'thumos14' in name
        wanted = [0] if is_black else cfg.model.data_preprocessor.mean
        default = LoadClip().pad_value
        assert np.ravel(step.get('pad_value', default)).tolist() == wanted


@pytest.mark.parametrize('name', ALL)
def test_suppression_is_that_of_the_paper_or_of_afsd(name):
    """Table VII on THUMOS14; for data of our own, what the models were tested with."""
    settings, is_afsd = load(name).model.test_cfg, name.startswith('afsd/')
    sigma = 0.85 if 'activitynet' in name else 0.3 if 'thumos14' in name else 0.5
    assert settings.nms.sigma == (0.5 if is_afsd and 'thumos14' in name else sigma)
    assert settings.clamp == (not is_afsd or 'activitynet' in name)


@pytest.mark.parametrize('data', ['weizmann', 'ut-interaction'])
def test_real_timelines_of_frames_start_from_released_models(data, monkeypatch):
    monkeypatch.chdir(ROOT.parent)
    backbone = load(f'tal_mts/tal-mts_i3d-tiny_1xb4-128x64x64_{data}.py').model.backbone
    init = backbone.pop('init_cfg')
    assert init.checkpoint.startswith('zoo/')
    load_model_weights(MODELS.build(backbone), init.checkpoint, init.prefix)


@pytest.mark.parametrize('model', ['tal-mts', 'ablation_baseline'])
def test_thermal_recordings_are_chosen_by_and_tested_on_other_people(model):
    cfg = load(f'tal_mts/{model}_i3d-tiny_1xb8-64x48x48_nagoya-fir.py')
    data = [cfg[f'{use}_dataloader'].dataset for use in ('train', 'val', 'test')]
    assert [one.subsets for one in data] == ['training', 'validation', 'test']
    scored = cfg.val_evaluator.subset, cfg.test_evaluator.subset
    assert scored == ('validation', 'test')
    # Only the training is augmented, and all read the same arrays.
    random = [
        {step.type for step in one.pipeline} & {'RandomCrop', 'FlipClip'}
        for one in data
    ]
    assert random == [{'RandomCrop', 'FlipClip'}, set(), set()]
    keys = 'data_prefix', 'ann_file', 'classes', 'source_type', 'sample_fps', 'clip_len'
    assert all(data[0][key] == one[key] for one in data for key in keys)
