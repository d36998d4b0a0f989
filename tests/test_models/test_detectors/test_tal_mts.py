"""The whole detector at a size for tests."""

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from tiny_models import SIZE, T, clip_sample, reduced
from torch.testing import assert_close

from mmtal_mts.models.dense_heads import RAW_OUTPUTS

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
K, LOCATIONS = 6, 8 + 4 + 2 + 1


@pytest.fixture
def cfg(repo_root):
    """The tiny model of the quick start at a size for tests."""
    return reduced(Config.fromfile(str(repo_root / CONFIG)).model, 4, 0.125)


def build(cfg):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(cfg))


def batch(samples):
    generator = torch.Generator().manual_seed(1)
    shape = (len(samples), 3, T, SIZE, SIZE)
    clips = torch.randint(0, 256, shape, generator=generator).byte()
    return dict(inputs=list(clips), data_samples=samples)


def run(model, mode='tensor', samples=None):
    data = batch(samples or [clip_sample(), clip_sample()])
    return model(**model.data_preprocessor(data), mode=mode)


def test_tensor_mode_has_the_documented_keys_and_shapes_clip_by_clip(cfg):
    model, p = build(cfg).eval(), LOCATIONS
    with torch.no_grad():
        both, one = run(model), run(model, samples=[clip_sample()])
    shapes = [(p,), (2, p, 2), (2, p, K + 1), (2, p, 2), (2, p, K + 1), (2, p)]
    assert list(both) == list(RAW_OUTPUTS)
    assert [tuple(value.shape) for value in both.values()] == shapes
    assert both['points'].tolist()[:2] == [2.0, 6.0]
    assert (both['coarse_distances'] > 0).all()
    for key in RAW_OUTPUTS[1:]:
        assert_close(both[key][:1], one[key], rtol=1e-4, atol=1e-4)


def test_preprocessor_maps_bytes_to_minus_one_to_one(cfg):
    clip = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1, 1)
    data = dict(inputs=list(clip.expand(2, 3, 1, 4, 4)), data_samples=[None] * 2)
    found = build(cfg).data_preprocessor(data)['inputs']
    assert [clip.unique().tolist() for clip in found] == [[-1.0], [1.0]]


def test_clips_without_any_action_have_finite_losses(cfg):
    losses = run(build(cfg).train(), mode='loss', samples=[clip_sample((), ())] * 2)
    assert losses['loss_coarse_loc'] == 0 and losses['loss_refine_loc'] == 0
    assert losses['loss_quality'] == 0 and losses['loss_refine_cls'] > 0
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()


def test_mmaction2_layout_with_one_clip_per_sample(cfg):
    model, frames = build(cfg).eval(), torch.randn(1, 3, T, SIZE, SIZE)
    with torch.no_grad():
        plain, stacked = model(frames), model(frames[:, None])
    assert torch.equal(plain['coarse_logits'], stacked['coarse_logits'])


@pytest.mark.parametrize(
    ('first_stride', 'shape', 'mode', 'message'),
    [
        (4, (1, 2, 3, T, SIZE, SIZE), 'tensor', r'inputs has shape \(1, 2, 3'),
        (4, (1, 3, 28, SIZE, SIZE), 'tensor', 'clip of 28 frames.*multiple of 32'),
        (8, (1, 3, T, SIZE, SIZE), 'tensor', 'first_stride'),
        (4, (1, 3, T, SIZE, SIZE), 'train', "mode='train'"),
    ],
)
def test_what_does_not_fit_is_named(cfg, first_stride, shape, mode, message):
    cfg.neck.stt.first_stride = first_stride
    with pytest.raises(ValueError, match=message):
        build(cfg)(torch.randn(shape), mode=mode)


def test_loss_terms_and_gradient_for_every_parameter(cfg):
    # All segments count as refined, so that every term has a gradient.
    cfg.refine_head.refine_iou_thr = -1.0
    cfg.warmup_head = None
    model = build(cfg).train()
    losses = run(model, 'loss')
    parts = ('coarse_cls', 'coarse_loc', 'refine_cls', 'refine_loc', 'quality')
    parts += ('aux_stt', 'aux_fsa')
    shares = {'aux_acc_stt', 'aux_acc_fsa'}
    assert set(losses) == {f'loss_{part}' for part in parts} | shares
    model.parse_losses(losses)[0].backward()
    # Key biases cancel in a softmax, and a bias before a norm with one position per
    # group has nothing to say: everything must exist, nearly all must be non-zero.
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    silent = [name for name, gradient in gradients.items() if not gradient.any()]
    assert len(silent) <= 2, silent


def test_predict_gives_seconds_of_the_video(cfg):
    cfg.test_cfg.score_thr = 0.0
    model = build(cfg).eval()
    found, moved = (
        run(model, 'predict', [sample])[0].pred_instances
        for sample in (clip_sample(), clip_sample(offset=40, fps=8.0))
    )
    assert_close(found.segments * 10, moved.segments * 8 - 40)
    assert len(found) == LOCATIONS * K
    assert (found.segments >= 0).all() and (found.segments <= T / 10).all()
    assert found.labels.unique().tolist() == list(range(K))


def test_autocast_keeps_losses_and_distances_in_float32(cfg):
    model = build(cfg).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs, losses = run(model), run(model, 'loss')
    found = [*outputs.values(), *losses.values()]
    assert {value.dtype for value in found} == {torch.float32}
    exact = run(model, 'loss')
    for key, value in losses.items():
        assert value.item() == pytest.approx(exact[key].item(), rel=0.25, abs=0.1)


@pytest.mark.parametrize('t, size, spatial', [(64, 32, (2, 1)), (32, 64, (4, 2))])
def test_other_clip_lengths_and_crop_sizes(cfg, t, size, spatial):
    cfg.neck.pyramid.spatial_sizes = spatial
    cfg.neck.stt.update(clip_len=t, crop_size=size)
    cfg.refine_head.fsa.crop_size = size
    outputs = build(cfg).eval()(torch.randn(1, 3, t, size, size))
    lengths = [t // stride for stride in (4, 8, 16, 32)]
    assert outputs['points'].shape == (sum(lengths),)


def test_training_steps_reduce_the_loss(cfg):
    model = build(cfg).train()
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='Adam', lr=2e-3)))
    data = batch([clip_sample(), clip_sample([[8.0, 30.0]], [4])])
    values = [model.train_step(data, wrapper)['loss'].item() for _ in range(25)]
    assert values[-1] < 0.5 * values[0]


def test_warming_up_trains_the_backbone_and_by_themselves_stt_and_fsa(cfg):
    model = build(cfg)
    model.warming_up = True
    losses = run(model, 'loss')
    model.parse_losses(losses)[0].backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None}
    mine = ('backbone', 'warmup_head', 'auxiliary_heads', 'neck.tokens', 'neck.stt')
    assert all(name.startswith((*mine, 'refine_head.fsa')) for name in touched)
    for start in (*mine, 'refine_head.fsa.encoder', 'refine_head.fsa.linear'):
        assert any(name.startswith(start) for name in touched), start
    # The loss of f_l alone: the classes of all positions of the finest level.
    with torch.no_grad():
        frames = model.data_preprocessor(batch([clip_sample()] * 2))['inputs']
        context = model.neck.stt(frames, model.neck.tokens(frames))[0]
        logits = model.auxiliary_heads['stt'].fc(context.mT)
        targets = model.coarse_head.get_targets
        points = model.coarse_head.point_generator.level_points([8], T)
        gt_instances = [clip_sample().gt_instances] * 2
        labels = targets(points, gt_instances).labels
        expected = torch.nn.functional.cross_entropy(logits.mT, labels)
    assert_close(losses['loss_aux_stt'], expected)


def test_without_stt_and_fsa_nothing_is_auxiliary_and_no_tokens_are_computed(cfg):
    cfg.neck.stt = cfg.refine_head.fsa = None
    cfg.coarse_head.with_context = False
    model = build(cfg)
    assert model.neck.tokens is None and not model.auxiliary_heads


def test_warming_up_trains_the_backbone_alone(cfg):
    cfg.auxiliary_head = None
    model = build(cfg)
    model.warming_up = True
    losses = run(model, 'loss')
    assert set(losses) == {'loss_warmup_cls', 'warmup_acc'}
    losses['loss_warmup_cls'].backward()
    parameters = model.named_parameters()
    touched = {name.split('.')[0] for name, p in parameters if p.grad is not None}
    assert touched == {'backbone', 'warmup_head'}
    model.warming_up = False
    assert 'loss_coarse_cls' in run(model, 'loss')
