"""Backbones of MMAction2 under the detector: maps by hand, training, refusals."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny_models import SMALL_BACKBONES, clip_sample, reduced
from torch import nn
from torch.testing import assert_close

from mmtal_mts.models import BackboneAdapter, FeatureEmbedding
from mmtal_mts.models.backbones.backbone_adapter import MapFacts
from mmtal_mts.models.necks import fit_neck, fit_warmup_head

CONFIG = 'configs/tal_mts/tal-mts_slowonly-tiny_1xb4-128x48x48_synthetic.py'
T, SIZE = 16, 32
CONV1 = dict(conv1_kernel=(1, 7, 7), conv1_stride_t=1, pool1_stride_t=1)
SLOW = dict(depth=18, pretrained=None, inflate=(0, 0, 1, 1), **CONV1)
SLOW_ONLY = dict(SLOW, type='ResNet3dSlowOnly', base_channels=4, lateral=False)
SLOW_ONLY['out_indices'] = (2, 3)
FAST = dict(type='resnet3d', depth=18, pretrained=None, base_channels=4, **CONV1)
FAST.update(lateral=False, conv1_kernel=(5, 7, 7))
SLOW_FAST = dict(type='ResNet3dSlowFast', pretrained=None, fast_pathway=FAST)
SLOW_FAST.update(resample_rate=8, speed_ratio=8, channel_ratio=2)
SLOW_FAST['slow_pathway'] = dict(SLOW, type='resnet3d', base_channels=8, lateral=True)
SWIN = dict(SMALL_BACKBONES['SwinTransformer3D'], type='SwinTransformer3D')
SWIN.update(pretrained=None, pretrained2d=False, window_size=(8, 7, 7))
SWIN.update(out_indices=(2, 3), with_cp=True)
VIT = dict(type='VisionTransformer', img_size=32, patch_size=16, embed_dims=16)
VIT.update(depth=2, num_heads=2, num_frames=8, return_feat_map=True)
MVIT_ARCH = dict(embed_dims=8, num_layers=3, num_heads=1, downscale_indices=[1, 2])
MVIT = dict(type='MViT', arch=MVIT_ARCH, spatial_size=32, temporal_size=8)
MVIT['out_scales'] = [1, 2]
C3D = dict(type='C3D', out_dim=8)
TSN = dict(type='ResNet', depth=18, pretrained=None, out_indices=(2, 3))
TSM = dict(type='ResNetTSM', depth=18, pretrained=None, num_segments=8)
FROZEN = dict(with_cp=True, frozen=('patch_embed', 'blocks.0'))
# Backbone, settings of the adapter, and channels, stride and size of its maps, worked
# out by hand from the strides of the networks.
FAMILIES = {
    'SlowOnly': (SLOW_ONLY, {}, [(16, 4, 2), (32, 8, 1)]),
    # The fast path, which keeps every frame, comes first.
    'SlowFast': (SLOW_FAST, {}, [(32, 4, 1), (64, 8, 1)]),
    'C3D': (C3D, dict(layers=('conv4b', 'conv5b')), [(512, 4, 4), (512, 8, 2)]),
    'Swin': (SWIN, {}, [(32, 4, 2), (64, 8, 1)]),
    'VideoMAE': (VIT, dict(FROZEN, chunk_len=8), [(16, 4, 2)]),
    'MViT': (MVIT, dict(chunk_len=8), [(16, 4, 4), (32, 8, 2)]),
    'TSN': (TSN, {}, [(256, 4, 2), (512, 8, 1)]),
    'TSM': (TSM, {}, [(512, 4, 1)]),
}


def adapter(backbone=VIT, **settings):
    options = dict(clip_len=T, crop_size=SIZE)
    options['chunk_len'] = 8 if backbone['type'] == 'VisionTransformer' else None
    return BackboneAdapter(backbone, **options | settings)


@pytest.mark.parametrize('family', FAMILIES)
def test_families_have_known_maps_and_train(family, repo_root):
    backbone, settings, expected = FAMILIES[family]
    cfg = reduced(Config.fromfile(str(repo_root / CONFIG)).model)
    sizes = dict(type='BackboneAdapter', clip_len=T, crop_size=SIZE)
    cfg.backbone = dict(sizes, backbone=backbone, **settings)
    cfg.neck.stt.clip_len = T
    model = MODELS.build(cfg)
    assert [facts[:3] for facts in model.backbone.maps] == expected
    before = {k: v.clone() for k, v in model.backbone.named_parameters()}
    clip = torch.randint(0, 256, (3, T, SIZE, SIZE)).byte()
    # Two clips: a batch norm of one value has no variance.
    samples = [clip_sample([[2.0, 11.0]], [1])] * 2
    data = dict(inputs=[clip, clip.flip(1)], data_samples=samples)
    model.train()
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    # Whatever trains has a gradient, as distributed training wants it.
    trained = [p for p in model.backbone.parameters() if p.requires_grad]
    assert torch.isfinite(total) and all(p.grad is not None for p in trained)
    torch.optim.SGD(trained, lr=0.1).step()
    after = model.backbone.named_parameters()
    changed = [k for k, v in after if not torch.equal(v, before[k])]
    frozen = tuple(f'backbone.{name}' for name in settings.get('frozen', ()))
    assert changed and not [k for k in changed if frozen and k.startswith(frozen)]
    with torch.no_grad():
        maps = model.backbone.eval()(torch.randn(2, 3, T, SIZE, SIZE))
    assert [x.shape for x in maps] == [
        (2, channels, T // stride, size, size) for channels, stride, size in expected
    ]


def test_maps_are_means_of_what_the_backbone_returns():
    net = adapter(SLOW_ONLY).eval()
    clip = torch.randn(2, 3, T, SIZE, SIZE)
    with torch.no_grad():
        layer3, layer4 = net.backbone(clip)
        fine, coarse = net(clip)
    assert_close(fine, layer3.unflatten(2, (4, 4)).mean(3))
    assert_close(coarse, layer4.unflatten(2, (2, 8)).mean(3))


def test_frames_and_chunks_keep_their_order():
    frames = torch.randn(2, 3, T, SIZE, SIZE)
    tsn = adapter(TSN, first_stride=1, outputs=(1,)).eval()
    chunks = adapter(first_stride=2).eval()
    with torch.no_grad():
        one = tsn.backbone(frames[1, :, 5][None])[1]
        assert_close(tsn(frames)[0][1, :, 5], one[0])
        half = chunks.backbone(frames[:, :, 8:])
        assert_close(chunks(frames)[0][:, :, 4:], half)


def test_checkpointing_and_layers_do_not_change_values():
    frames, grads = torch.randn(1, 3, T, SIZE, SIZE), []
    plain, saving = (adapter(with_cp=value).train() for value in (0, 1))
    saving.load_state_dict(plain.state_dict())
    for net in (plain, saving):
        net(frames)[0].square().mean().backward()
        grads.append(net.backbone.patch_embed.projection.weight.grad)
    assert_close(*grads)
    returned = adapter(SLOW_ONLY).eval()
    layers = adapter(SLOW_ONLY, layers=('layer3', 'layer4')).eval()
    layers.load_state_dict(returned.state_dict())
    with torch.no_grad():
        for a, b in zip(returned(frames), layers(frames), strict=True):
            assert torch.equal(a, b)


def test_report_says_what_is_done():
    text = adapter(**FROZEN).report
    assert 'VisionTransformer takes a clip of 16 frames 32x32 in 2 chunks of 8' in text
    facts = 'channels=16, stride=4, size=2, index=0, kernel=(2, 1, 1)'
    assert f'level 0: MapFacts({facts})' in text
    assert 'frozen: patch_embed, blocks.0' in text
    assert '2 tensors are in no map and do not train: fc_norm.weight' in text


def test_usual_options_of_the_backbone_hold():
    net = adapter(dict(SLOW_ONLY, frozen_stages=1, norm_eval=True))
    net.train()
    assert not net.backbone.layer1[0].conv1.conv.weight.requires_grad
    assert net.backbone.layer2[0].conv1.conv.weight.requires_grad
    assert not any(m.training for m in net.modules() if isinstance(m, nn.BatchNorm3d))
    whole = adapter(frozen=True).train()
    assert not any(p.requires_grad for p in whole.parameters())
    assert not whole.backbone.blocks[0].training


def test_weights_of_a_recogniser_load(tmp_path):
    source, path = adapter(), tmp_path / 'recogniser.pth'
    state = {f'backbone.{k}': v for k, v in source.backbone.state_dict().items()}
    torch.save(dict(state_dict={**state, 'cls_head.fc.weight': torch.zeros(1)}), path)
    net = adapter(pretrained=str(path))
    net.init_weights()
    for a, b in zip(source.parameters(), net.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match=r'recogniser.pth does not fit VisionTran'):
        adapter(dict(VIT, embed_dims=8), pretrained=str(path)).init_weights()


@MODELS.register_module(force=True)
class StrangeBackbone(nn.Module):
    """Returns what it was given to make of a convolution."""

    def __init__(self, result) -> None:
        super().__init__()
        self.result = result
        self.conv = nn.Conv3d(3, 4, 1)

    def forward(self, x):
        return self.result(self.conv(x))


def strange(result):
    return dict(type='StrangeBackbone', result=result)


@pytest.mark.parametrize(
    ('backbone', 'settings', 'message'),
    [
        (strange(lambda x: {'out': x}), {}, 'StrangeBackbone returns a dict'),
        (strange(lambda x: x.mean((2, 3, 4)).sum()), {}, r'Tensor of shape \(\)'),
        (strange(lambda x: x.flatten(2)), {}, r'Tensor of shape \(1, 4, 16384\)'),
        (strange(lambda x: x[..., :8, :]), {}, 'has 8x32 cells; square'),
        (strange(lambda x: None), {}, 'returns a NoneType'),
        (VIT, dict(chunk_len=None), 'takes neither a clip of 16 frames of 32x32'),
        (VIT, dict(chunk_len=5), 'chunk_len=5 of BackboneAdapter must divide'),
        (VIT, dict(first_stride=1), 'no mean gives one per 1 frames: .* at least 2,'),
        (VIT, dict(first_stride=3), 'first_stride=3 .* power of two'),
        (VIT, dict(first_stride=32), 'clip of 16 frames, .* one per 32 frames'),
        (VIT, dict(layers=('head',)), r"VisionTransformer has no \['head'\]"),
        (VIT, dict(frozen=('stem',)), r"frozen=\['stem'\]"),
        (VIT, dict(outputs=(1,)), 'returns 1 maps, numbered from 0'),
        (VIT, dict(chunk_len=None, with_cp=True), 'needs chunk_len'),
        (dict(VIT, return_feat_map=False), {}, 'no mean gives one per 4 frames'),
        (SLOW_ONLY, dict(clip_len=4), 'a clip of 4 frames, '),
    ],
)
def test_what_does_not_fit_is_told(backbone, settings, message):
    with pytest.raises(ValueError, match=message):
        adapter(backbone, **settings)


def test_other_clips_and_double_norms_are_refused():
    with pytest.raises(ValueError, match='12 frames, no multiple of chunk_len=8'):
        adapter()(torch.zeros(1, 3, 12, SIZE, SIZE))
    with pytest.raises(ValueError, match='set norm_eval=True'):
        adapter(SLOW_ONLY, chunk_len=8, with_cp=True).train()


def test_maps_are_planned_as_by_hand():
    shapes = [(1, 8, 2, 14, 14), (1, 4, 8, 7, 7), (1, 2, 8, 13, 13)]

    def plan(**settings):
        backbone = strange(lambda x: [x.mean().expand(s) for s in shapes])
        return adapter(backbone, **settings).maps

    # Of 8, 8 and 2 positions, the third level wants a quarter of the first.
    assert plan(first_stride=None) == (
        MapFacts(4, 2, 7, 1, (1, 1, 1)),
        MapFacts(2, 4, 1, 2, (2, 13, 13)),
        MapFacts(8, 8, 7, 0, (1, 2, 2)),
    )
    assert [m.stride for m in plan(first_stride=4, outputs=(1, 0))] == [4, 8]


def test_neck_takes_what_the_backbone_tells():
    net = adapter()
    neck = dict(pyramid=dict(in_channels=None, spatial_sizes=(9,)), stt=None)
    assert fit_neck(neck, net)['pyramid'] == dict(in_channels=(16,), spatial_sizes=(9,))
    assert neck['pyramid']['in_channels'] is None
    with pytest.raises(ValueError, match='in_channels is None, but Conv3d does not'):
        fit_neck(neck, nn.Conv3d(1, 1, 1))
    assert fit_warmup_head(dict(in_channels=None), net) == dict(in_channels=16)
    assert fit_warmup_head(dict(in_channels=3), net) == dict(in_channels=3)


def test_feature_embedding():
    net = FeatureEmbedding(6, 8, num_groups=2)
    (out,) = net(torch.randn(2, 6, 5, 1, 1))
    assert out.shape == (2, 8, 5, 1, 1) and net.maps == (MapFacts(8, 1, 1),)
    with pytest.raises(ValueError, match='takes features of 6 channels'):
        net(torch.randn(2, 5, 5, 1, 1))
