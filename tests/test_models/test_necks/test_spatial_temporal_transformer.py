import pytest
import torch

from mmtal_mts.models.necks import SpatialTemporalTransformer


def build(**kwargs):
    options = dict(
        clip_len=16,
        crop_size=8,
        first_stride=4,
        num_levels=3,
        embed_dims=8,
        out_channels=4,
        patch_size=4,
        num_heads=2,
        num_groups=2,
    )
    options.update(kwargs)
    return SpatialTemporalTransformer(**options)


@pytest.mark.parametrize(
    'first_stride, lengths', [(4, [4, 2, 1]), (1, [16, 8, 4]), (2, [8, 4, 2])]
)
def test_levels_have_the_lengths_of_the_pyramid(first_stride, lengths):
    levels = build(first_stride=first_stride)(torch.randn(2, 3, 16, 8, 8))
    assert [tuple(x.shape) for x in levels] == [(2, 4, n) for n in lengths]


def test_equation_1_step_by_step():
    torch.manual_seed(0)
    stt = build().eval()
    frames = torch.randn(1, 3, 16, 8, 8)
    tokens = stt.patch_embedding(frames)[0]  # (T, Z, E)
    spatial = stt.spatial_encoder[0]
    per_frame = [spatial(tokens[t : t + 1]).mean(1) for t in range(16)]
    sequence = torch.cat(per_frame)[None] + stt.temporal_position
    x = stt.linear(stt.temporal_encoder[0](sequence)).transpose(1, 2)
    for i, downsample in enumerate(stt.downsamples):
        x = downsample(x)
        if i >= 1:
            torch.testing.assert_close(stt(frames)[i - 1], x)


def test_spatial_attention_stays_in_its_frame_and_time_is_long_range():
    torch.manual_seed(0)
    stt = build().eval()
    frames = torch.randn(1, 3, 16, 8, 8)
    changed = frames.clone()
    changed[:, :, -1] += 1.0

    def frame_tokens(clip):
        tokens = stt.patch_embedding(clip).flatten(0, 1)
        return stt.spatial_encoder(tokens).mean(1)

    before, after = frame_tokens(frames), frame_tokens(changed)
    torch.testing.assert_close(before[:-1], after[:-1])
    assert not torch.allclose(before[-1], after[-1])
    # The last frame reaches the first position of the finest level.
    assert not torch.allclose(stt(frames)[0][..., 0], stt(changed)[0][..., 0])


def test_order_of_the_frames_matters():
    torch.manual_seed(0)
    stt = build().eval()
    frames = torch.randn(1, 3, 16, 8, 8)
    backwards = stt(frames.flip(2))[0]
    assert not torch.allclose(stt(frames)[0], backwards.flip(2), atol=1e-3)


def test_misfits_are_named():
    with pytest.raises(ValueError, match='first_stride=3'):
        build(first_stride=3)
    with pytest.raises(ValueError, match=r'clip has 12 frames, but clip_len=16'):
        build()(torch.randn(1, 3, 12, 8, 8))
