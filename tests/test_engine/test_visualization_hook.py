"""Pictures of windows, drawn while a runner tests."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer
from tiny_models import clip_sample

from mmtal_mts.engine import DetectionVisualizationHook
from mmtal_mts.models.dense_heads import add_pred_to_datasample
from mmtal_mts.utils import UserError
from mmtal_mts.visualization import TALVisualizer

T, FPS = 32, 10.0
HEAD = dict(type='BoundaryRefineHead', num_classes=2, channels=32)
LOSSES = dict(cls='SoftmaxFocal', loc='SegmentSmoothL1', quality='QualityBCE')
HEAD |= {f'loss_{name}': dict(type=f'{kind}Loss') for name, kind in LOSSES.items()}


def raw_outputs(scores=((0, 0.9), (0, 0.8), (1, 0.6))):
    """Three locations: two see the same action, one sees another of class 1."""
    # The softmax of (x, 0) is the score; the quality is 1.
    logits = torch.tensor([[[-20.0, -20.0, 0.0]] * 3])
    for location, (label, score) in enumerate(scores):
        logits[0, location, label] = float(np.log(score / (1 - score)))
    return dict(
        points=torch.tensor([10.0, 12.0, 24.0]),
        coarse_distances=torch.tensor([[[5.0, 5.0], [7.0, 3.0], [4.0, 20.0]]]),
        coarse_logits=logits,
        refine_offsets=torch.tensor([[[0.2, 0.0], [0.2, 0.0], [0.0, 0.0]]]),
        refine_logits=logits,
        quality_logits=torch.full((1, 3), 50.0),
    )


class Detector(torch.nn.Module):
    """Says the same of every window."""

    def __init__(self):
        super().__init__()
        self.refine_head, self.keep_raw = MODELS.build(HEAD), False

    def forward(self, inputs, data_samples):
        for sample in data_samples:
            raw = raw_outputs() if self.keep_raw else None
            add_pred_to_datasample([sample], [InstanceData()], {}, raw, T)
        return data_samples


def windows():
    """Four windows of one video in two batches; the second holds no action."""
    for first in (0, 2):
        samples = []
        for index in (first, first + 1):
            count = int(index != 1)
            segments, labels = [[4.0, 20.0]] * count, [1] * count
            samples.append(clip_sample(segments, labels, 16 * index, FPS))
            samples[-1].set_metainfo(dict(video_id='a/../b: ä'))
        yield torch.zeros((2, 3, T, 16, 16), dtype=torch.uint8), samples


@pytest.fixture
def watch(tmp_path):
    """Lets the hook watch a test or validation; its pictures are in ``tmp_path``."""

    def run(stage='test', visualizer=TALVisualizer, model=None, **settings):
        backends = [dict(type='LocalVisBackend')]
        visualizer = visualizer('v', None, backends, str(tmp_path))
        visualizer.dataset_meta = dict(classes=['run', 'jump'])
        hook, model = DetectionVisualizationHook(**settings), model or Detector()
        runner = SimpleNamespace(model=model, visualizer=visualizer, iter=7)
        getattr(hook, f'before_{stage}')(runner)
        for index, (clips, samples) in enumerate(windows()):
            batch, outputs = dict(inputs=clips), model(clips, samples)
            getattr(hook, f'after_{stage}_iter')(runner, index, batch, outputs)
        getattr(hook, f'after_{stage}')(runner)
        assert model.keep_raw is False

    return run


@pytest.mark.parametrize(
    ('stage', 'interval', 'places'), [('test', 2, (0, 48)), ('val', 1, (0, 32))]
)
def test_chosen_windows_become_pictures(watch, tmp_path, stage, interval, places):
    """Of three windows with an action; the id of the video, of a file, is no path."""
    watch(stage, interval=interval, max_windows=2, score_thr=0.0)
    pictures = sorted(tmp_path.glob('**/vis_image/*.png'))
    names = [f'{stage}_a_.._b__ä_{place}_7.png' for place in places]
    assert [path.name for path in pictures] == names
    for path in pictures:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[1] == 1600


def detections(scores, **settings):
    sample = clip_sample(offset=50, fps=FPS)
    add_pred_to_datasample([sample], [InstanceData()], {}, raw_outputs(scores), T)
    hook = DetectionVisualizationHook(**settings)
    return hook._detections(Detector(), sample)


def test_a_detection_keeps_the_coarse_segment_that_it_was_refined_from():
    found = detections([(0, 0.9), (0, 0.8), (1, 0.6)], score_thr=0.2, sigma=0.5)
    # Both of class 0 are [4, 15] after refinement: the second is left with
    # 0.8 * exp(-2) and not drawn. What reaches out of the window is cut.
    np.testing.assert_allclose(found.scores, [0.9, 0.6], atol=1e-5)
    np.testing.assert_allclose(found.segments, [[5.4, 6.5], [7.0, 8.2]], rtol=1e-6)
    expected = [[5.5, 6.5], [7.0, 8.2]]
    np.testing.assert_allclose(found.coarse_segments, expected, rtol=1e-6)
    assert found.labels.tolist() == [0, 1]


def test_only_the_best_detections_are_drawn_or_none():
    scores = [(0, 0.7), (0, 0.8), (1, 0.9)]
    assert detections(scores, max_detections=1).labels.tolist() == [1]
    found = detections(scores, score_thr=0.95)
    assert len(found.segments) == len(found.coarse_segments) == 0


def test_other_models_and_visualizers_and_unusable_numbers_are_refused(watch):
    with pytest.raises(UserError, match='Linear keeps no raw outputs'):
        watch(model=torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match="is Visualizer. .*type='TALVisualizer'"):
        watch(visualizer=Visualizer)
    for name in ('interval', 'max_windows', 'max_detections', 'sigma'):
        with pytest.raises(ValueError, match=f'{name}=0'):
            DetectionVisualizationHook(**{name: 0})
