"""The metric as a runner uses it: windows in, numbers out."""

from __future__ import annotations

import json
import logging
import re

import numpy as np
import pytest
import torch
from mmaction.registry import METRICS
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from mmtal_mts.evaluation import TALMetric, merge_windows
from mmtal_mts.evaluation.functional.detections import load_windows
from mmtal_mts.evaluation.protocols import EvaluationData

CLASSES = ('run', 'jump')
META = dict(classes=CLASSES)
AGNOSTIC = dict(classes=('action',), video_classes=CLASSES)
TEST_CFG = dict(nms=dict())


@pytest.fixture
def ann_file(tmp_path):
    """Two videos to test, and one without a segment."""
    actions = dict(v_1=[(1, 5, 'run'), (9, 13, 'run'), (14, 18, 'jump')])
    actions |= {'2': [(2, 4, 'jump')], 'other': []}
    database = {
        name: dict(
            subset='test' if rows else 'training',
            duration=20.0 if name == 'v_1' else 10.0,
            annotations=[dict(segment=row[:2], label=row[2]) for row in rows],
        )
        for name, rows in actions.items()
    }
    path = tmp_path / 'annotation.json'
    path.write_text(json.dumps(dict(classes=CLASSES, database=database)))
    return str(path)


@pytest.fixture
def build(ann_file):
    def _build(meta=META, **settings):
        settings |= dict(type='TALMetric', ann_file=ann_file, subset='test')
        metric = METRICS.build(settings)
        metric.dataset_meta = meta
        return metric

    return _build


def window(video_id, offset, duration, rows, **more):
    """A data sample; rows are (start, end, score, label)."""
    rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    facts = dict(video_id=video_id, window_offset=offset, duration=duration)
    sample = ActionDataSample(metainfo=dict(facts, test_cfg=TEST_CFG, **more))
    sample.pred_instances = InstanceData(
        segments=rows[:, :2], scores=rows[:, 2], labels=rows[:, 3].long()
    )
    return sample


def windows():
    """Every segment found exactly, and one false positive between them."""
    return [
        window('v_1', 0, 20.0, [[1, 5, 0.9, 0], [9, 13, 0.5, 0]]),
        window('v_1', 100, 20.0, [[6, 8, 0.7, 0], [14, 18, 0.8, 1]]),
        window('2', 0, 10.0, [[2, 4, 0.9, 1]]),
    ]


def evaluate(metric, samples):
    """Through an evaluator, which hands dictionaries to the metric."""
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = metric.dataset_meta
    return evaluator.offline_evaluate(samples)


@pytest.fixture
def lines(monkeypatch):
    """Level and text of what the metric logs."""
    found = []
    for module in ('metrics.tal_metric', 'functional.detections'):
        monkeypatch.setattr(
            f'mmtal_mts.evaluation.{module}.print_log',
            lambda text, logger=None, level=logging.INFO: found.append((level, text)),
        )
    return found


def test_hand_computed_values_and_their_table(build, lines):
    metrics = evaluate(build(classwise=True), windows())
    # run: true, false, true -> (1 + 2 / 3) / 2; jump: perfect.
    run = (1 + 2 / 3) / 2
    names = [f'mAP@{t}' for t in ('0.30', '0.40', '0.50', '0.60', '0.70')]
    assert list(metrics) == [*names, 'mAP', 'AP/run', 'AP/jump']
    assert metrics['AP/run'] == pytest.approx(run, abs=1e-12)
    assert metrics['AP/jump'] == pytest.approx(1.0, abs=1e-12)
    assert metrics['mAP'] == pytest.approx((run + 1) / 2, abs=1e-12)
    assert all(isinstance(value, float) for value in metrics.values())
    report = [re.findall(r'[\w.]+', line) for line in lines[-1][1].splitlines()]
    for name, value in (('run', '83.33'), ('jump', '100.00'), ('mAP', '91.67')):
        assert [name, *[value] * 6] in report


def test_objects_work_like_dictionaries_and_results_are_reset(build):
    metric, samples = build(), windows()
    for sample in samples:
        # Half precision does not change the order of the scores.
        sample.pred_instances.scores = sample.pred_instances.scores.bfloat16()
    metric.process(None, samples)
    assert metric.evaluate(3) == evaluate(build(), windows())
    assert metric.results == []
    assert metric.evaluate(0)['mAP'] == 0.0


def test_average_over_some_thresholds(build):
    samples = [window('v_1', 0, 20.0, [[1, 3.2, 0.9, 0]])]  # tIoU 0.55
    metrics = evaluate(build(tiou_thresholds=(0.5, 0.6), average_over=(0.6,)), samples)
    assert metrics['mAP@0.50'] == pytest.approx(0.25)
    assert metrics['mAP@0.60'] == metrics['mAP'] == 0.0


def test_a_repeated_window_counts_once_and_order_does_not_matter(build, tmp_path):
    first, second = tmp_path / 'a.json', tmp_path / 'b.json'
    one = evaluate(build(dump_path=str(first)), windows())
    again = [*windows()[::-1], *windows()[:2]]
    assert evaluate(build(dump_path=str(second)), again) == one
    assert first.read_text() == second.read_text()
    assert set(json.loads(first.read_text())['results']) == {'v_1', '2'}


def run_process(rank, folder, ann_file):
    """One of two processes; a sampler deals in turn and repeats the first ones."""
    store = f'file://{folder}/store'
    torch.distributed.init_process_group('gloo', store, rank=rank, world_size=2)
    metric = TALMetric(ann_file, 'test', dump_path=f'{folder}/double.json')
    first, second, third = windows()
    metric.process(None, [first, third] if rank == 0 else [second, first])
    (folder / f'{rank}.json').write_text(json.dumps(metric.evaluate(3)))
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_same_result(build, ann_file, tmp_path):
    expected = evaluate(build(dump_path=str(tmp_path / 'single.json')), windows())
    torch.multiprocessing.spawn(run_process, (tmp_path, ann_file), nprocs=2)
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == expected
    single, double = (tmp_path / f'{name}.json' for name in ('single', 'double'))
    assert double.read_text() == single.read_text()


def test_missing_and_broken_videos_are_named(build, lines):
    samples = windows()[:2]
    broken = dict(video_id='v_1', window_offset=200, duration=20.0, broken=True)
    stray = window('stray', 0, 5.0, [[0, 1, 0.5, 0]]).to_dict()
    metric = build()
    metric.process(None, [*(s.to_dict() for s in samples), broken, stray])
    metrics = metric.evaluate(4)
    warnings = [text for level, text in lines if level == logging.WARNING]
    assert len(warnings) == 2
    assert 'could not be read' in warnings[0] and 'v_1' in warnings[0]
    assert 'no prediction' in warnings[1] and warnings[1].endswith(': 2')
    report = lines[-1][1]
    assert '4 detections, 4 segments, 2 videos' in report
    assert '1 detections in videos without ground truth' in report
    # The segment of video '2' is missed: half of the recall of jump.
    assert metrics['mAP@0.50'] == pytest.approx(((1 + 2 / 3) / 2 + 0.5) / 2)


def test_classes_of_the_data_set_decide_the_order(ann_file):
    metric = TALMetric(ann_file, 'test')
    metric.dataset_meta = dict(classes=('jump', 'other', 'run'))
    assert metric.ground_truth['v_1'].actions.labels.tolist() == [2, 2, 0]
    with pytest.raises(ValueError, match=r"annotation.json.*\['jump'\]"):
        metric.dataset_meta = dict(classes=('run', 'walk'))
    metric.dataset_meta = dict()


SAMPLE = windows()[0].to_dict()
NO_CFG = {key: value for key, value in SAMPLE.items() if key != 'test_cfg'}
NO_LABELS = dict(video_id='v_1', pred_instances=dict(segments=torch.zeros(0, 2)))


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        ({}, 'video_id'),
        (dict(video_id='v_1'), 'video v_1.*pred_instances'),
        (NO_LABELS, 'video v_1.*labels'),
        (NO_CFG, 'video v_1: .*no test_cfg'),
        (dict(SAMPLE, test_cfg=dict(sigma=0.5)), 'unknown setting.*sigma'),
        ([0, 1, 0.5, 5], 'video v_1: predicted labels 5..5'),
        ([0, 1, np.nan, 0], 'video v_1, window at sampled frame 7.*NaN'),
        ([0, np.inf, 0.5, 0], 'video v_1.*NaN or infinite'),
    ],
)
def test_unusable_samples_are_named(build, sample, message):
    if isinstance(sample, list):
        sample = window('v_1', 7, 20.0, [sample])
    with pytest.raises(ValueError, match=message):
        build().process(None, [sample])


def test_unusable_settings_stop_at_once(build, tmp_path):
    with pytest.raises(ValueError, match=r'tIoU thresholds \[0.1\]: choose from'):
        build(average_over=[0.1])
    with pytest.raises(FileNotFoundError, match='none.json'):
        TALMetric(str(tmp_path / 'none.json'))


def test_the_windows_can_be_written_and_merged_again(build, tmp_path):
    path = tmp_path / 'windows.npz'
    metric = build(windows_path=str(path))
    broken = window('2', 64, 10.0, [], broken=True)
    metrics = evaluate(metric, [*reversed(windows()), broken])
    written, durations, classes = load_windows(path)
    assert classes == CLASSES and durations == {'2': 10.0, 'v_1': 20.0}
    merged = {k: merge_windows([v], durations[k], TEST_CFG) for k, v in written.items()}
    data = EvaluationData(classes, metric.ground_truth, merged, metric.tiou_thresholds)
    assert data.evaluate().average() == metrics['mAP']


def test_class_agnostic_ground_truth_has_one_class(build):
    metric = build(AGNOSTIC, class_agnostic=True)
    assert metric.classes == ('action',)
    rows = [[1, 5, 0.9, 0], [9, 13, 0.8, 0], [14, 18, 0.7, 0]]
    samples = window('v_1', 0, 20.0, rows), window('2', 0, 10.0, [[2, 4, 0.6, 0]])
    assert evaluate(metric, samples)['mAP'] == 1.0


def test_classes_of_a_video_classifier_are_those_of_the_annotation(build):
    scores = dict(labels=np.array([1]), scores=np.array([0.5]))
    samples = [window('2', 0, 10.0, [[2, 4, 0.6, 1]], video_scores=scores)]
    # One of two jumps is found, no run.
    assert evaluate(build(AGNOSTIC), samples)['mAP'] == pytest.approx((0.5 + 0.0) / 2)


def test_detections_without_a_class_are_refused(build):
    with pytest.raises(ValueError, match='video 2: detections .* have no class'):
        build(AGNOSTIC).process(None, [window('2', 0, 10.0, [[2, 4, 0.6, 0]])])
