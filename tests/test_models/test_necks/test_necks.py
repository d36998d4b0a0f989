"""Pyramid, RFP, the frame-level feature and STT (eq. 1) by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from mmtal_mts.models.necks import (
    FrameLevelFeature,
    RefinedFeaturePyramid,
    SpatialTemporalTransformer,
    TemporalPyramid,
    fit_neck,
)


def build(in_channels=(6, 8), spatial_sizes=(4, 2), num_levels=5):
    return TemporalPyramid(in_channels, spatial_sizes, 16, num_levels, num_groups=4)


@pytest.mark.parametrize(
    'maps, lengths',
    [([(6, 16, 4, 4), (8, 8, 2, 2)], [16, 8, 4, 2, 1]), ([(8, 12, 2, 2)], [12, 6, 3])],
)
def test_every_level_halves_the_length(maps, lengths):
    channels, _, _, sizes = zip(*maps, strict=True)
    levels = build(channels, sizes, len(lengths))([torch.randn(2, *m) for m in maps])
    assert [tuple(x.shape) for x in levels] == [(2, 16, length) for length in lengths]
    assert all((x >= 0).all() for x in levels)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last_3d])
def test_collapse_is_a_full_size_convolution(layout):
    collapse = build().collapses[0]
    x = torch.randn(2, 6, 5, 4, 4).contiguous(memory_format=layout)
    expected = collapse.norm(collapse.conv(x).flatten(2)).relu()
    assert_close(collapse(x), expected, rtol=1e-4, atol=1e-5)


@given(st.sampled_from([None, 0, 1, 2, 3]), st.booleans(), st.integers(1, 3))
def test_rfp_against_index_arithmetic(merges, cumulative, seed):
    generator = torch.Generator().manual_seed(seed)
    levels = [torch.randn(1, 2, n, generator=generator) for n in (8, 4, 2, 1)]
    before = [x.clone() for x in levels]
    rfp = RefinedFeaturePyramid(merges, cumulative)
    refined, expected = rfp(levels), [x.clone() for x in levels]
    above = expected if cumulative else levels
    for i in reversed(range(3 if merges is None else merges)):
        for t in range(expected[i].shape[-1]):
            expected[i][..., t] += above[i + 1][..., t // 2]
    assert_close(list(refined), expected)
    assert_close(levels, before, rtol=0, atol=0)
    assert not list(rfp.parameters())


def test_gates_start_as_afsd_and_scale_what_each_channel_receives():
    levels = [torch.randn(1, 2, n) for n in (8, 4, 2)]
    rfp = RefinedFeaturePyramid(gated=True, channels=2, num_levels=3)
    assert_close(rfp(levels), RefinedFeaturePyramid(num_merges=1)(levels))
    torch.nn.init.normal_(rfp.gates)
    expected = levels[1] + rfp.gates[1] * levels[2].repeat_interleave(2, dim=2)
    assert_close(rfp(levels)[1], expected)
    pyramid = dict(out_channels=2, num_levels=3)
    neck = dict(pyramid=pyramid, rfp=dict(gated=True), stt=None)
    fitted = fit_neck(neck, torch.nn.Identity())['rfp']
    assert fitted == dict(gated=True, channels=2, num_levels=3)


@pytest.mark.parametrize('mode', ['nearest', 'linear'])
def test_frame_level_feature_upsamples_then_convolves(mode):
    module = FrameLevelFeature(4, mode, num_groups=2)
    finest = torch.randn(1, 4, 3)
    # Centres of the frames on the grid of the cells' centres.
    at = (np.arange(12) + 0.5) / 4 - 0.5
    at = at.round() if mode == 'nearest' else at
    rows = [np.interp(at, range(3), row) for row in finest[0].numpy()]
    frames = torch.from_numpy(np.float32(rows))[None]
    assert_close(module(finest, 12), module.units(frames))


def build_stt(**kwargs):
    sizes = dict(clip_len=16, crop_size=8, first_stride=4, num_levels=3, embed_dims=8)
    sizes.update(out_channels=4, patch_size=4, num_heads=2, num_groups=2)
    return SpatialTemporalTransformer(**sizes | kwargs).eval()


@pytest.mark.parametrize(
    'first_stride, lengths', [(4, [4, 2, 1]), (1, [16, 8, 4]), (2, [8, 4, 2])]
)
def test_stt_levels_have_the_lengths_of_the_pyramid(first_stride, lengths):
    levels = build_stt(first_stride=first_stride)(torch.randn(2, 3, 16, 8, 8))
    assert [tuple(x.shape) for x in levels] == [(2, 4, n) for n in lengths]


def test_equation_1_step_by_step():
    stt, frames = build_stt(), torch.randn(1, 3, 16, 8, 8)
    tokens = stt.patch_embedding(frames)[0]  # (T, Z, E)
    spatial = stt.spatial_encoder[0]
    per_frame = [spatial(tokens[t : t + 1]).mean(1) for t in range(16)]
    sequence = torch.cat(per_frame)[None] + stt.temporal_position
    levels = [stt.linear(stt.temporal_encoder[0](sequence)).mT]
    for downsample in stt.downsamples:
        levels.append(downsample(levels[-1]))
    assert_close(list(stt(frames)), levels[2:])


def test_stt_reads_the_tokens_of_the_neck_instead_of_its_own():
    own, shared = build_stt(), build_stt(own_embedding=False)
    assert not any('patch_embedding' in name for name in shared.state_dict())
    shared.load_state_dict(own.state_dict(), strict=False)
    frames = torch.randn(1, 3, 16, 8, 8)
    assert_close(shared(frames, own.patch_embedding(frames)), own(frames))


def test_tokens_have_the_sizes_of_their_readers_and_are_dropped_without_any():
    tokens = dict(type='TubeletEmbedding', stem_channels=(4, 8))
    stt = dict(patch_size=4, crop_size=8, embed_dims=8)
    backbone = torch.nn.Identity()
    fitted = fit_neck(dict(stt=stt, tokens=tokens), backbone, None)
    assert fitted['tokens'] == tokens | stt
    assert (
        fit_neck(dict(stt=None, tokens=tokens), backbone, stt)['tokens'] == tokens | stt
    )
    assert fit_neck(dict(stt=None, tokens=tokens), backbone)['tokens'] is None
    assert 'in_channels' not in tokens and 'patch_size' not in tokens
    message = 'patch_size is 4 in neck.stt and 2 in refine_head.fsa.*tokens=None'
    with pytest.raises(ValueError, match=message):
        fit_neck(dict(stt=stt, tokens=tokens), backbone, dict(stt, patch_size=2))
    fit_neck(dict(stt=stt, tokens=None), backbone, dict(stt, patch_size=2))


def test_misfits_name_field_value_and_remedy():
    feats = (torch.randn(1, 6, 16, 6, 6), torch.randn(1, 8, 8, 3, 3))
    for build_or_run, message in (
        (lambda: build()(feats), r'6x6 cells.*spatial_sizes\[0\]=4.*stride'),
        (lambda: build()(feats[:1]), 'returns 1 maps.*configured for 2'),
        (lambda: build(num_levels=1), 'num_levels=1'),
        (lambda: RefinedFeaturePyramid(num_merges=-1), 'num_merges=-1'),
        (lambda: FrameLevelFeature(4, 'cubic', num_groups=2), "'cubic'"),
        (lambda: build_stt(first_stride=3), 'first_stride=3'),
        (
            lambda: build_stt()(torch.randn(1, 3, 12, 8, 8)),
            '12 frames, but clip_len=16',
        ),
    ):
        with pytest.raises(ValueError, match=message):
            build_or_run()
