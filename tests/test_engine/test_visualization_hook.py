"""Pictures of windows, drawn while a runner tests."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmengine.visualization import BaseVisBackend

from mmtal_mts.engine import DetectionVisualizationHook
from mmtal_mts.models import TALMTS
from mmtal_mts.utils import UserError

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
T, SIZE, K, FPS = 32, 32, 6, 10.0


class Windows(torch.utils.data.Dataset):
    """Windows of one video; the second holds no action."""

    metainfo = dict(classes=[f'class {label}' for label in range(K)])
    offsets = (0, 16, 32, 48)

    def __len__(self):
        return len(self.offsets)

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        sample = ActionDataSample()
        count = int(index != 1)
        sample.gt_instances = InstanceData(
            segments=torch.tensor([[4.0, 20.0]])[:count],
            labels=torch.ones(count, dtype=torch.long),
        )
        sample.set_metainfo(
            dict(
                video_id='a/../b: ä',
                window_offset=self.offsets[index],
                sample_fps=FPS,
                duration=8.0,
            )
        )
        inputs = torch.randint(0, 256, (3, T, SIZE, SIZE), generator=generator)
        return dict(inputs=inputs.byte(), data_samples=sample)


class Recorder:
    """Metric that keeps the predictions."""

    def __init__(self):
        self.found, self.dataset_meta = [], None

    def process(self, data_batch, data_samples):
        self.found += [sample['pred_instances'] for sample in data_samples]

    def evaluate(self, size):
        return dict(windows=len(self.found))


@VISBACKENDS.register_module(force=True)
class RecordingBackend(BaseVisBackend):
    """A backend that nobody has thought of."""

    images: list = []

    @property
    def experiment(self):
        return None

    def _init_env(self):
        pass

    def add_config(self, config, **kwargs):
        pass

    def add_image(self, name, image, step=0, **kwargs):
        self.images.append((name, image.shape, step))


@pytest.fixture(scope='module')
def model_cfg():
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    model = Config.fromfile(str(root / CONFIG)).model
    channels = 16
    model.neck.pyramid.update(
        in_channels=(104, 128),
        spatial_sizes=(2, 1),
        out_channels=channels,
        num_levels=4,
        num_groups=4,
    )
    model.neck.stt = None
    model.neck.frame_feature.update(channels=channels, num_groups=4)
    model.coarse_head.update(
        channels=channels,
        num_levels=4,
        num_groups=4,
        distance_factors=(4, 8, 16, 32),
        with_context=False,
    )
    model.refine_head.update(channels=channels, num_groups=4, fsa=None)
    return model


def make_runner(
    folder,
    model,
    hooks,
    recorder,
    stage='test',
    backends=('LocalVisBackend',),
    visualizer='TALVisualizer',
):
    loader = dict(
        dataset=Windows(),
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        model=model,
        work_dir=str(folder),
        **{
            f'{stage}_dataloader': loader,
            f'{stage}_cfg': dict(),
            f'{stage}_evaluator': [recorder],
        },
        custom_hooks=hooks,
        visualizer=dict(
            type=visualizer,
            name=f'{folder.name}_{len(hooks)}',
            vis_backends=[dict(type=name) for name in backends],
        ),
        default_scope='mmaction',
        randomness=dict(seed=0),
        experiment_name=f'{folder.name}_{len(hooks)}',
        log_level='ERROR',
    )


def test_chosen_windows_become_pictures_and_nothing_else_changes(model_cfg, tmp_path):
    plain, watched = Recorder(), Recorder()
    make_runner(tmp_path, copy.deepcopy(model_cfg), [], plain).test()
    hook = dict(
        type='DetectionVisualizationHook', interval=2, max_windows=2, score_thr=0.0
    )
    runner = make_runner(tmp_path, copy.deepcopy(model_cfg), [hook], watched)
    runner.test()
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
    for one, other in zip(plain.found, watched.found, strict=True):
        torch.testing.assert_close(one['segments'], other['segments'])
        torch.testing.assert_close(one['scores'], other['scores'])


def test_validation_draws_into_every_backend(model_cfg, tmp_path):
    RecordingBackend.images.clear()
    hook = dict(type='DetectionVisualizationHook', interval=1, max_windows=2)
    backends = ('LocalVisBackend', 'RecordingBackend')
    runner = make_runner(
        tmp_path, copy.deepcopy(model_cfg), [hook], Recorder(), 'val', backends
    )
    runner.val()
    assert [(name, step) for name, _, step in RecordingBackend.images] == [
        ('val_a_.._b__ä_0', 0),
        ('val_a_.._b__ä_32', 0),
    ]
    assert all(shape[1:] == (1600, 3) for _, shape, _ in RecordingBackend.images)
    assert len(list(tmp_path.glob('**/vis_image/val_*.png'))) == 2


def sample_of(scores):
    """Three locations: two see the same action, one sees another of class 1."""
    logits = torch.full((3, 3), -20.0)
    for location, (label, score) in enumerate(scores):
        # The softmax of (x, 0) is the score; the quality is 1.
        logits[location, label] = float(np.log(score / (1 - score)))
        logits[location, 2] = 0.0
    raw = dict(
        points=torch.tensor([10.0, 12.0, 24.0]),
        coarse_distances=torch.tensor([[5.0, 5.0], [7.0, 3.0], [4.0, 20.0]]),
        coarse_logits=logits,
        refine_offsets=torch.tensor([[0.2, 0.0], [0.2, 0.0], [0.0, 0.0]]),
        refine_logits=logits,
        quality_logits=torch.full((3,), 50.0),
        num_frames=T,
    )
    sample = ActionDataSample(metainfo=dict(window_offset=50, sample_fps=FPS))
    sample.set_field(raw, 'raw_outputs')
    return sample


@pytest.fixture(scope='module')
def model(model_cfg):
    cfg = copy.deepcopy(model_cfg)
    cfg.pop('type')
    return TALMTS(**cfg)


def test_a_detection_keeps_the_coarse_segment_that_it_was_refined_from(model):
    hook = DetectionVisualizationHook(score_thr=0.2, sigma=0.5)
    found = hook.detections(model, sample_of([(0, 0.9), (0, 0.8), (1, 0.6)])).numpy()
    # Both of class 0 are [4, 15] after refinement: the second is left with
    # 0.8 * exp(-2) and not drawn. What reaches out of the window is cut.
    np.testing.assert_allclose(found.scores, [0.9, 0.6], atol=1e-5)
    np.testing.assert_allclose(found.segments, [[5.4, 6.5], [7.0, 8.2]], rtol=1e-6)
    expected = [[5.5, 6.5], [7.0, 8.2]]
    np.testing.assert_allclose(found.coarse_segments, expected, rtol=1e-6)
    assert found.labels.tolist() == [0, 1]


def test_only_the_best_detections_are_drawn_or_none(model):
    sample = sample_of([(0, 0.7), (0, 0.8), (1, 0.9)])
    best = DetectionVisualizationHook(max_detections=1)
    assert best.detections(model, sample).labels.tolist() == [1]
    strict = DetectionVisualizationHook(score_thr=0.95)
    found = strict.detections(model, sample)
    assert len(found.segments) == len(found.coarse_segments) == 0


def test_other_models_and_unusable_numbers_are_refused(model_cfg, tmp_path):
    class Other(BaseModel):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            return data_samples

    hook = dict(type='DetectionVisualizationHook')
    runner = make_runner(tmp_path, Other(), [hook], Recorder())
    with pytest.raises(UserError, match='Other keeps no raw outputs'):
        runner.test()
    model = copy.deepcopy(model_cfg)
    runner = make_runner(
        tmp_path / 'a', model, [hook], Recorder(), visualizer='Visualizer'
    )
    with pytest.raises(UserError, match="is Visualizer. .*type='TALVisualizer'"):
        runner.test()
    for name in ('interval', 'max_windows', 'max_detections', 'sigma'):
        with pytest.raises(ValueError, match=f'{name}=0'):
            DetectionVisualizationHook(**{name: 0})
