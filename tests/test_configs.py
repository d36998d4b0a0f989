"""Every config builds; at a reduced size it runs forward, backward and one step."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData

from mmtal_mts.models import InceptionI3D

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.glob('*/*.py')
    if path.parent.name != '_base_'
    # Two trained networks joined: tests/test_models/test_detectors/test_two_stream.py.
    and not path.stem.endswith('-two-stream')
)
T, SIZE, LEVELS, CHANNELS = 32, 32, 3, 16
# Parameters of the published AFSD code: the baseline must stay what it is.
AFSD_PARAMETERS = {
    'afsd/afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb.py': 44746069,
    'afsd/afsd_i3d_1xb1-256x96x96-16e_thumos14-flow.py': 44724117,
    'afsd/afsd_i3d_1xb1-768x96x96-16e_activitynet-rgb.py': 30158127,
    'afsd/afsd_i3d_1xb1-768x96x96-16e_activitynet-flow.py': 30136175,
}
MODULES = {  # Table VI: merges of RFP, STT, FSA
    'ablation_baseline': (1, False, False),
    'ablation_rfp': (None, False, False),
    'ablation_stt': (1, True, False),
    'ablation_rfp-stt': (None, True, False),
    'tal-mts_i3d': (None, True, True),
}


def load(name: str) -> Config:
    cfg = Config.fromfile(str(ROOT / name))
    cfg.model.backbone.pretrained = None  # a download
    return cfg


def reduced(cfg: Config) -> dict:
    """The model of a config, narrow, over 32 frames of 32x32 pixels."""
    model = copy.deepcopy(cfg.model)
    width = 0.03125
    indices = model.backbone.out_indices
    channels = InceptionI3D(width=width, out_indices=indices).out_channels
    model.backbone.width = width
    small = dict(crop_size=SIZE, patch_size=16, embed_dims=16, out_channels=CHANNELS)
    model.neck.pyramid.update(
        in_channels=channels,
        spatial_sizes=(2, 1)[-len(indices) :],
        out_channels=CHANNELS,
        num_levels=LEVELS,
        num_groups=4,
    )
    model.neck.frame_feature.update(channels=CHANNELS, num_groups=4)
    if model.neck.stt is not None:
        model.neck.stt.update(clip_len=T, num_levels=LEVELS, num_groups=4, **small)
    head = model.coarse_head
    head.update(channels=CHANNELS, num_levels=LEVELS, num_groups=4)
    if head.get('distance_factors'):
        head.distance_factors = head.distance_factors[:LEVELS]
    if head.get('assigner') and head.assigner.get('level_ranges'):
        head.assigner.level_ranges = head.assigner.level_ranges[:LEVELS]
    model.refine_head.update(channels=CHANNELS, num_groups=4)
    if model.refine_head.fsa is not None:
        model.refine_head.fsa.update(**small)
    if model.get('warmup_head'):
        model.warmup_head.in_channels = channels[0]
    return model


def batch(in_channels: int):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (in_channels, T, SIZE, SIZE), generator=generator)
    sample = ActionDataSample()
    sample.gt_instances = InstanceData(
        segments=torch.tensor([[2.0, 22.0]]), labels=torch.tensor([0])
    )
    sample.set_metainfo(dict(video_id='v', window_offset=0, sample_fps=10.0))
    return dict(inputs=[frames.byte()], data_samples=[sample])


@pytest.mark.parametrize('name', CONFIGS)
def test_reduced_model_takes_a_training_step(name):
    cfg = load(name)
    torch.manual_seed(0)
    model = MODELS.build(reduced(cfg))
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = copy.deepcopy(model.state_dict())
    losses = model.train_step(batch(cfg.model.backbone.in_channels), optimizer)
    assert torch.isfinite(losses['loss']) and losses['loss'] > 0
    moved = [
        key
        for key, value in model.state_dict().items()
        if not torch.equal(value, before[key])
    ]
    for part in ('backbone', 'neck', 'coarse_head', 'refine_head'):
        assert any(key.startswith(part) for key in moved), part

    model.eval()
    with torch.no_grad():
        (sample,) = model.test_step(batch(cfg.model.backbone.in_channels))
    assert torch.isfinite(sample.pred_instances.segments).all()


@pytest.mark.parametrize('name', AFSD_PARAMETERS)
def test_published_baseline_has_its_number_of_parameters(name):
    listed = metafile_models()[f'configs/{name}']['Metadata']['Parameters']
    assert listed == AFSD_PARAMETERS[name]


@pytest.mark.parametrize(
    'name', [name for name in CONFIGS if 'tal_mts/' in name and 'thumos14' in name]
)
def test_table_vi_switches_the_right_modules(name):
    model = load(name).model
    prefix = next(key for key in MODULES if Path(name).name.startswith(key + '_'))
    merges, stt, fsa = MODULES[prefix]
    assert model.neck.rfp.get('num_merges') == merges
    assert (model.neck.stt is not None) == stt == model.coarse_head.with_context
    assert (model.refine_head.fsa is not None) == fsa


@pytest.mark.parametrize('name', CONFIGS)
def test_streams_and_sizes_agree(name):
    cfg = load(name)
    dataset = cfg.train_dataloader.dataset
    flow = dataset.get('modality') == 'Flow'
    assert flow == name.endswith('-flow.py')
    wanted = 2 if flow else 3
    readers = [cfg.model.backbone, cfg.model.neck.stt, cfg.model.refine_head.fsa]
    assert {r.in_channels for r in readers if r is not None} == {wanted}
    if cfg.model.neck.stt is not None:
        assert cfg.model.neck.stt.clip_len == dataset.clip_len
    classes = 1 if dataset.get('class_agnostic') else len(dataset.classes)
    assert cfg.model.coarse_head.num_classes == classes
    assert cfg.model.refine_head.num_classes == classes
    assert f'x{cfg.crop_size}x{cfg.crop_size}' in name
    assert f'-{cfg.clip_len}x' in name


@pytest.mark.parametrize(
    ('dataset', 'alpha'), [('thumos14', 10.0), ('activitynet', 1.0)]
)
def test_settings_of_the_paper(dataset, alpha):
    length = 256 if dataset == 'thumos14' else 768
    cfg = load(f'tal_mts/tal-mts_i3d_1xb1-{length}x96x96-25e_{dataset}-rgb.py')
    assert cfg.model.coarse_head.loss_loc.loss_weight == alpha
    assert cfg.model.refine_head.loss_loc.loss_weight == alpha
    assert cfg.model.refine_head.loss_quality.loss_weight == 1.0
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


def metafile_models() -> dict[str, dict]:
    index = yaml.safe_load((ROOT.parent / 'model-index.yml').read_text())
    return {
        model['Config']: model
        for path in index['Import']
        for model in yaml.safe_load((ROOT.parent / path).read_text())['Models']
    }


def test_metafiles_list_every_config():
    files = {f'configs/{path.relative_to(ROOT)}' for path in ROOT.glob('[!_]*/*.py')}
    assert set(metafile_models()) == files


@pytest.mark.parametrize(
    'name', [str(path.relative_to(ROOT)) for path in ROOT.glob('*/*-two-stream.py')]
)
def test_two_streams_have_the_parameters_of_both(name):
    listed = metafile_models()
    data = name.rpartition('-two-stream')[0].rpartition('_')[2]
    single = [
        model['Metadata']['Parameters']
        for config, model in listed.items()
        if Path(config).name.startswith('tal-mts_i3d')
        and Path(config).stem.endswith((f'{data}-rgb', f'{data}-flow', f'48_{data}'))
    ]
    assert len(single) == 2
    assert listed[f'configs/{name}']['Metadata']['Parameters'] == sum(single)


@pytest.mark.parametrize('name', CONFIGS)
def test_metafile_agrees_with_the_config(name):
    cfg, listed = load(name), metafile_models()[f'configs/{name}']
    assert listed['Name'] == Path(name).stem
    model = MODELS.build(cfg.model)
    assert listed['Metadata']['Parameters'] == sum(
        p.numel() for p in model.parameters()
    )
    assert listed['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    modality = cfg.train_dataloader.dataset.get('modality', 'RGB')
    assert listed['Metadata']['Modality'] == modality
