"""Pictures of windows, drawn while a runner tests."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer

from mmtal_mts.engine import DetectionVisualizationHook
from mmtal_mts.models.dense_heads import add_pred_to_datasample
from mmtal_mts.utils import UserError

T, FPS = 32, 10.0
HEAD = dict(
    type='BoundaryRefineHead',
    num_classes=2,
    channels=32,
    loss_cls=dict(type='SoftmaxFocalLoss'),
    loss_loc=dict(type='SegmentSmoothL1Loss'),
    loss_quality=dict(type='QualityBCELoss'),
)


def raw_outputs(scores=((0, 0.9), (0, 0.8), (1, 0.6))):
    """Three locations: two see the same action, one sees another of class 1."""
    logits = torch.full((1, 3, 3), -20.0)
    for location, (label, score) in enumerate(scores):
        # The softmax of (x, 0) is the score; the quality is 1.
        logits[0, location, label] = float(np.log(score / (1 - score)))
        logits[0, location, 2] = 0.0
    return dict(
        points=torch.tensor([10.0, 12.0, 24.0]),
        coarse_distances=torch.tensor([[[5.0, 5.0], [7.0, 3.0], [4.0, 20.0]]]),
        coarse_logits=logits,
        refine_offsets=torch.tensor([[[0.2, 0.0], [0.2, 0.0], [0.0, 0.0]]]),
        refine_logits=logits,
        quality_logits=torch.full((1, 3), 50.0),
    )


class Detector(BaseModel):
    """Says the same of every window."""

    def __init__(self):
        super().__init__()
        self.refine_head = MODELS.build(HEAD)
        self.keep_raw = False

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for sample in data_samples:
            raw = raw_outputs() if self.keep_raw else None
            add_pred_to_datasample([sample], [InstanceData()], {}, raw, T)
        return data_samples


class Windows(torch.utils.data.Dataset):
    """Windows of one video; the second holds no action."""

    metainfo = dict(classes=['run', 'jump'])
    offsets = (0, 16, 32, 48)

    def __len__(self):
        return len(self.offsets)

    def __getitem__(self, index):
        offset = self.offsets[index]
        facts = dict(video_id='a/../b: ä', window_offset=offset, sample_fps=FPS)
        sample = ActionDataSample(metainfo=facts)
        count = int(index != 1)
        sample.gt_instances = InstanceData(
            segments=torch.tensor([[4.0, 20.0]])[:count],
            labels=torch.ones(count, dtype=torch.long),
        )
        clip = torch.zeros((3, T, 16, 16), dtype=torch.uint8)
        return dict(inputs=clip, data_samples=sample)


class Recorder:
    """Metric that counts windows."""

    count, dataset_meta = 0, None

    def process(self, data_batch, data_samples):
        self.count += len(data_samples)

    def evaluate(self, size):
        return dict(windows=self.count)


def make_runner(folder, stage='test', visualizer='TALVisualizer', model=None, **hook):
    loader = dict(
        dataset=Windows(),
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    backends = [dict(type='LocalVisBackend')]
    name = f'{folder.name}_{visualizer}_{type(model).__name__}'
    return Runner(
        model=model or Detector(),
        work_dir=str(folder),
        custom_hooks=[dict(type='DetectionVisualizationHook', **hook)],
        visualizer=dict(type=visualizer, name=name, vis_backends=backends),
        default_scope='mmaction',
        experiment_name=name,
        log_level='ERROR',
        **{f'{stage}_dataloader': loader, f'{stage}_cfg': dict()},
        **{f'{stage}_evaluator': [Recorder()]},
    )


def test_chosen_windows_become_pictures(tmp_path):
    runner = make_runner(tmp_path, interval=2, max_windows=2, score_thr=0.0)
    assert runner.test() == dict(windows=4)
    pictures = sorted(tmp_path.glob('**/vis_image/*.png'))
    # Of the three windows with an action the first and the third; the id of the
    # video, which comes from a file, is no path.
    assert [path.name for path in pictures] == [
        'test_a_.._b__ä_0_0.png',
        'test_a_.._b__ä_48_0.png',
    ]
    image = cv2.imdecode(np.fromfile(pictures[0], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] == 1600
    assert runner.model.keep_raw is False


def test_validation_hands_the_same_names_to_the_backends(tmp_path, monkeypatch):
    images = []

    def add_image(self, name, image, step=0):
        images.append((name, image.shape[1:], step))

    monkeypatch.setattr(Visualizer, 'add_image', add_image)
    make_runner(tmp_path, 'val', interval=1, max_windows=2).val()
    names = ('val_a_.._b__ä_0', 'val_a_.._b__ä_32')
    assert images == [(name, (1600, 3), 0) for name in names]


def detections(scores, **settings):
    facts = dict(window_offset=50, sample_fps=FPS)
    sample = ActionDataSample(metainfo=facts)
    add_pred_to_datasample([sample], [InstanceData()], {}, raw_outputs(scores), T)
    hook = DetectionVisualizationHook(**settings)
    return hook._detections(Detector(), sample).numpy()


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


def test_other_models_and_visualizers_and_unusable_numbers_are_refused(tmp_path):
    class Other(BaseModel):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            return data_samples

    with pytest.raises(UserError, match='Other keeps no raw outputs'):
        make_runner(tmp_path, model=Other()).test()
    with pytest.raises(UserError, match="is Visualizer. .*type='TALVisualizer'"):
        make_runner(tmp_path, visualizer='Visualizer').test()
    for name in ('interval', 'max_windows', 'max_detections', 'sigma'):
        with pytest.raises(ValueError, match=f'{name}=0'):
            DetectionVisualizationHook(**{name: 0})
