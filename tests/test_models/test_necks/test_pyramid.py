import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.models.necks import (
    FrameLevelFeature,
    RefinedFeaturePyramid,
    TemporalPyramid,
)


def maps(batch=1):
    return torch.randn(batch, 6, 16, 4, 4), torch.randn(batch, 8, 8, 2, 2)


def build(**kwargs):
    options = dict(
        in_channels=(6, 8),
        spatial_sizes=(4, 2),
        out_channels=16,
        num_levels=5,
        num_groups=4,
    )
    options.update(kwargs)
    return TemporalPyramid(**options)


def test_every_level_halves_the_length():
    levels = build()(maps(2))
    assert [tuple(x.shape) for x in levels] == [
        (2, 16, length) for length in (16, 8, 4, 2, 1)
    ]
    assert all((x >= 0).all() for x in levels)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last_3d])
def test_collapse_is_a_full_size_convolution(layout):
    collapse = build().collapses[0]
    x = torch.randn(2, 6, 5, 4, 4).contiguous(memory_format=layout)
    expected = collapse.norm(collapse.conv(x).flatten(2)).relu()
    torch.testing.assert_close(collapse(x), expected, rtol=1e-4, atol=1e-5)


def test_pyramid_from_one_map():
    pyramid = build(in_channels=(8,), spatial_sizes=(2,), num_levels=3)
    levels = pyramid([torch.randn(1, 8, 12, 2, 2)])
    assert [x.shape[-1] for x in levels] == [12, 6, 3]


def test_misfit_names_field_value_and_remedy():
    feats = (torch.randn(1, 6, 16, 6, 6), torch.randn(1, 8, 8, 3, 3))
    with pytest.raises(ValueError, match=r'6x6 cells.*spatial_sizes\[0\]=4.*stride'):
        build()(feats)
    with pytest.raises(ValueError, match='returns 1 maps.*configured for 2'):
        build()(feats[:1])
    with pytest.raises(ValueError, match='num_levels=1'):
        build(num_levels=1)


@pytest.mark.parametrize(
    'cumulative, sums',
    [(False, [11.0, 110.0, 1100.0, 1000.0]), (True, [1111.0, 1110.0, 1100.0, 1000.0])],
)
def test_rfp_adds_the_level_above_or_all_coarser_ones(cumulative, sums):
    levels = [torch.full((1, 2, n), float(10**i)) for i, n in enumerate((8, 4, 2, 1))]
    refined = RefinedFeaturePyramid(cumulative=cumulative)(levels)
    assert [x.unique().item() for x in refined] == sums
    assert [x.shape for x in refined] == [x.shape for x in levels]
    assert not list(RefinedFeaturePyramid().parameters())


@given(st.integers(0, 3), st.booleans(), st.integers(1, 3))
def test_rfp_against_index_arithmetic(merges, cumulative, seed):
    generator = torch.Generator().manual_seed(seed)
    levels = [torch.randn(1, 2, n, generator=generator) for n in (8, 4, 2, 1)]
    refined = RefinedFeaturePyramid(merges, cumulative)(levels)
    expected = [x.clone() for x in levels]
    above = expected if cumulative else levels
    for i in reversed(range(merges)):
        for t in range(expected[i].shape[-1]):
            expected[i][..., t] += above[i + 1][..., t // 2]
    for a, b in zip(refined, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_rfp_does_not_change_its_input_and_checks_its_setting():
    levels = [torch.ones(1, 1, 2), torch.ones(1, 1, 1)]
    RefinedFeaturePyramid()(levels)
    assert levels[0].sum() == 2
    with pytest.raises(ValueError, match='num_merges=-1'):
        RefinedFeaturePyramid(num_merges=-1)


@pytest.mark.parametrize('mode', ['nearest', 'linear'])
def test_frame_level_feature_upsamples_then_convolves(mode):
    module = FrameLevelFeature(4, mode, num_groups=2)
    finest = torch.randn(1, 4, 3)
    frames = torch.empty(1, 4, 12)
    for t in range(12):
        if mode == 'nearest':
            frames[..., t] = finest[..., t // 4]
        else:
            # Centres of the frames on the grid of the cells' centres.
            at = min(max((t + 0.5) / 4 - 0.5, 0.0), 2.0)
            low = min(int(at), 1)
            share = at - low
            frames[..., t] = (1 - share) * finest[..., low] + share * finest[
                ..., low + 1
            ]
    torch.testing.assert_close(module(finest, 12), module.units(frames))


def test_frame_level_feature_refuses_other_modes():
    with pytest.raises(ValueError, match="'cubic'"):
        FrameLevelFeature(4, 'cubic', num_groups=2)
