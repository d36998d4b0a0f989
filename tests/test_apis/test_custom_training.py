"""Settings that follow from the data, and the config that holds them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config

from mmtal_mts.apis import custom_training
from mmtal_mts.apis.custom_training import (
    _assign_subsets,
    _measure_videos,
    _plan,
    _write_reports,
    prepare_custom_training,
    train_custom,
)
from mmtal_mts.evaluation.functional.detections import dump_detections
from mmtal_mts.evaluation.protocols import load_evaluation_data
from mmtal_mts.structures import Segments, VideoAnnotation, load_annotations
from mmtal_mts.utils import UserError


def plan(*lengths, duration=60.0, source_fps=30.0, classes=('jump',), **more):
    """One video for each action, which lies in its middle."""
    videos = []
    for length in lengths:
        times = [[(duration - length) / 2, (duration + length) / 2]]
        facts = ('v', '', duration, source_fps, None)
        videos.append(VideoAnnotation(*facts, Segments(times, [0])))
    return _plan(videos, classes, **more)


@pytest.mark.parametrize(
    ('lengths', 'source_fps', 'duration', 'expected'),
    [
        # 1.5 * 4 s = 60 frames. Strides 4, 8, 16, 32; 64 is longer than any action.
        ((2.0, 4.0, 4.0), 30.0, 60.0, (10.0, 64, 4)),
        # Short actions get a higher rate if the videos have one; 15 fps: 7.5 frames.
        ((0.5, 0.5, 1.0), 30.0, 60.0, (25.0,)),
        ((0.5, 0.5, 1.0), 15.0, 60.0, (15.0,)),
        ((0.5, 0.5, 1.0), 29.97, 60.0, (25.0,)),
        ((0.1, 0.1, 1.0), 29.97, 60.0, (30.0,)),
        # Long ones get a lower rate and the largest window.
        ((120.0, 100.0, 2.0), 30.0, 600.0, (3.0, 512)),
        # Longer than any window at the lowest rate: still a plan.
        ((3000.0, 2.0), 30.0, 4000.0, (1.0, 512)),
        # A window is not longer than the longest video.
        ((9.0, 9.0), 30.0, 30.0, (10.0, 192)),
        # 96 / 4 = 24 can be halved three times.
        ((9.0, 9.0), 30.0, 9.3, (10.0, 96, 4)),
    ],
)
def test_rate_and_window_follow_the_actions(lengths, source_fps, duration, expected):
    result = plan(*lengths, source_fps=source_fps, duration=duration)
    windows = result.windows
    found = windows.sample_fps, windows.clip_len, windows.num_levels
    assert found[: len(expected)] == expected
    assert windows.stride == windows.clip_len // 4
    assert 1 <= result.batch_size <= 8


def test_epochs_are_by_the_amount_of_data_or_given_and_left_is_not_mirrored():
    few, many = plan(*[2.0] * 4), plan(*[2.0] * 60)
    assert few.epochs == 100
    assert few.epochs > many.epochs >= 5
    assert plan(2.0, epochs=3).epochs == 3
    with pytest.raises(UserError, match='no training video has a usable action'):
        _plan([VideoAnnotation('v', '', 1.0, 30.0, None, Segments.empty())], [])
    assert not plan(2.0, classes=['turn-left', 'jump']).mirror
    assert not plan(2.0, classes=['Right_turn']).mirror
    assert plan(2.0, classes=['upright', 'cleft', 'jump']).mirror


@pytest.fixture
def data(tmp_path, make_video):
    """Arguments: six short videos; one of two classes cannot be a Python name."""
    folder = tmp_path / 'videos'
    folder.mkdir()
    rows = ['video,start,end,label']
    for index in range(6):
        make_video(folder / f'v{index}.mp4', 30, 10, size=(64, 48))
        label = ('"wave ""hi"""', 'turn left')[index % 2]
        rows.append(f'v{index},0.5,{2.5 if index else 3.5},{label}')
    table = tmp_path / 'a.csv'
    table.write_text('\n'.join(rows))
    return dict(videos=folder, annotations=table, out=tmp_path / 'run')


def test_the_written_config_trains(data, capsys):
    out, config = data['out'], prepare_custom_training(**data)
    text = capsys.readouterr().out
    assert 'training: 5 videos' in text and 'not mirrored' in text
    # v0 is annotated half a second beyond its end.
    assert re.search(r'error +1 .*\n.*v0', text)
    check = (out / 'annotation_check.txt').read_text(encoding='utf-8')
    assert 'training windows: 64 frames at 10 fps, stride 16' in check
    annotations = load_annotations(str(out / 'annotations.json'), on_invalid='clamp')
    assert annotations.videos['v0'].actions.segments.tolist() == [[0.5, 3.0]]

    assert config == out / 'config.py'
    cfg = Config.fromfile(str(config))
    assert cfg.train_dataloader.dataset.classes == ['turn left', 'wave "hi"']
    steps = cfg.train_dataloader.dataset.pipeline
    assert not any(step.type == 'FlipClip' for step in steps)
    assert steps[0].scale == (54, 54) and steps[1].size == 48
    assert cfg.val_dataloader.dataset.window_stride == 32
    assert cfg.test_evaluator == cfg.val_evaluator
    warmup, decay = cfg.custom_hooks[0].num_epochs, cfg.param_scheduler[1]
    assert (decay.begin, decay.T_max, decay.end) == (40, 60, 100) and warmup == 40
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model)
    item = dataset[0]
    batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    losses = model._run_forward(model.data_preprocessor(batch, True), mode='loss')
    assert all(torch.isfinite(loss).all() for loss in losses.values())

    # The same again is a resume; other settings are another training.
    (out / 'work_dir').mkdir()
    torch.save({}, out / 'work_dir' / 'epoch_1.pth')
    prepare_custom_training(**data)
    with pytest.raises(UserError, match='other settings'):
        prepare_custom_training(**data, epochs=7)


def test_given_subsets_are_kept_and_weights_replace_the_warmup(data, tmp_path):
    database = {}
    for index in range(6):
        subset = 'validation' if index in (2, 3) else 'training'
        action = dict(segment=[0.5, 2.0], label=str(index % 2))
        database[f'v{index}'] = dict(subset=subset, annotations=[action])
    data['annotations'], weights = tmp_path / 'a.json', tmp_path / 'w.pth'
    data['annotations'].write_text(json.dumps({'database': database}))
    weights.touch()
    config = prepare_custom_training(**data, init=str(weights))
    written = json.loads((config.parent / 'annotations.json').read_text())['database']
    held_out = {name for name, v in written.items() if v['subset'] == 'validation'}
    assert held_out == {'v2', 'v3'}
    cfg = Config.fromfile(str(config))
    assert cfg.load_from == str(weights)
    assert cfg.model.warmup_head is None and cfg.custom_hooks == []
    assert cfg.train_dataloader.dataset.pipeline[2].type == 'FlipClip'


def test_other_subsets_are_split_anew_and_that_is_told(capsys):
    told = 'subsets (none), test, training of the annotation are split anew'
    for subsets in (['training', 'test', 'test', ''], [''] * 4):
        database = {
            index: dict(subset=subset, annotations=[dict(label='a')])
            for index, subset in enumerate(subsets)
        }
        _assign_subsets(database, 0.5, 0)
        found = sorted(entry['subset'] for entry in database.values())
        assert found == ['training', 'training', 'validation', 'validation']
        text = capsys.readouterr().out
        assert told in text if any(subsets) else text == ''


def test_missing_files_and_other_models_are_refused(data, tmp_path):
    other = tmp_path / 'other.py'
    other.write_text("model = dict(type='BMN')")
    for change, message in (
        (dict(annotations='none.csv'), 'none.csv: no such file or folder'),
        (dict(init='none.pth'), '--init none.pth: no such file'),
        (dict(val_fraction=1.5), '--val-fraction 1.5'),
        (dict(base=other), 'needs a TALMTS'),
    ):
        with pytest.raises(UserError, match=message):
            prepare_custom_training(**{**data, **change})
    assert not (data['out'] / 'config.py').exists()


@pytest.mark.parametrize(
    ('names', 'folder', 'message'),
    [
        (['bad', 'none'], '', '1 of 2 videos are missing\n.*none.mp4'),
        (['bad'], '', '1 of 1 videos cannot be read\n.*bad.mp4'),
        (['good', 'more', 'good.mp4'], '', '1 of 3 .*another one\n.*good and good'),
        ([], 'nowhere', 'no such folder'),
    ],
)
def test_unusable_files_are_named(tmp_path, make_video, names, folder, message):
    (tmp_path / 'bad.mp4').write_bytes(b'nothing')
    make_video(tmp_path / 'good.mp4', 2)
    make_video(tmp_path / 'more.mp4', 2)
    with pytest.raises(UserError, match=message):
        _measure_videos({name: {} for name in names}, str(tmp_path / folder))


def test_files_are_found_by_name_or_id_and_measured(tmp_path, make_video):
    (tmp_path / 'sub').mkdir()
    found = {'a': {}, 'sub/b.mp4': {}}
    for file, count, fps in (('a.mp4', 20, 10), ('sub/b.mp4', 15, 5)):
        make_video(tmp_path / file, count, fps)
    _measure_videos(found, str(tmp_path))
    first, second = found.values()
    assert first == dict(file='a.mp4', duration=pytest.approx(2.0), fps=10)
    assert second == dict(file='sub/b.mp4', duration=3.0, fps=5.0)


def held_out_of(labels, fraction, seed):
    """The videos that are held out if each has these labels."""
    database = {
        name: dict(annotations=[dict(label=label) for label in own])
        for name, own in labels.items()
    }
    _assign_subsets(database, fraction, seed)
    return {name for name, entry in database.items() if entry['subset'] != 'training'}


videos = st.dictionaries(
    st.text('abcdefgh', min_size=1, max_size=3),
    st.lists(st.sampled_from('ABC'), max_size=3),
    min_size=1,
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(videos, st.floats(0.05, 0.6), st.integers(0, 5))
def test_each_class_stays_in_training(labels, fraction, seed):
    classes = {label for own in labels.values() for label in own}
    possible = any(
        own
        and all(any(label in labels[o] for o in labels if o != name) for label in own)
        for name, own in labels.items()
    )
    if not possible:
        with pytest.raises(UserError, match='can be held out'):
            held_out_of(labels, fraction, seed)
        return
    chosen = held_out_of(labels, fraction, seed)
    assert chosen == held_out_of(dict(reversed(labels.items())), fraction, seed)
    assert 1 <= len(chosen) <= max(1, round(fraction * len(labels)))
    rest = set(labels) - chosen
    assert {label for name in rest for label in labels[name]} == classes


@pytest.mark.parametrize('seed', range(5))
def test_validation_gets_every_class_if_it_can(seed):
    labels = {f'{label}{n}': [label] for label in 'ABCDE' for n in range(4)}
    assert {name[0] for name in held_out_of(labels, 0.25, seed)} == set('ABCDE')


def test_the_results_are_drawn(data, monkeypatch):
    config = prepare_custom_training(**data)
    out = config.parent
    entries = json.loads((out / 'annotations.json').read_text())['database']
    held_out = [name for name in entries if entries[name]['subset'] != 'training']

    def train(cfg):
        assert cfg.randomness['seed'] == 5 and not cfg.resume
        Path(cfg.work_dir).mkdir()
        torch.save({}, Path(cfg.work_dir) / 'epoch_1.pth')

    def test(cfg):
        found = dict.fromkeys(held_out, Segments([[0.5, 2.5]], [1], [0.9]))
        classes = cfg.test_dataloader.dataset.classes
        dump_detections(cfg.test_evaluator.dump_path, found, classes)
        return {'mAP': 0.5}

    monkeypatch.setattr(custom_training, 'train', train)
    monkeypatch.setattr(custom_training, 'test', test)
    summary = train_custom(config, seed=5)
    assert summary == {
        'mAP': {'mAP': 0.5},
        'checkpoint': str(out / 'work_dir/epoch_1.pth'),
        'timeline': str(out / 'timeline.png'),
        'diagnosis': str(out / 'diagnosis/report.html'),
        'reports': f'{out / "reports"}, {len(held_out)} of {len(held_out)} videos',
    }
    assert all(Path(summary[key]).is_file() for key in ('timeline', 'diagnosis'))


def test_videos_get_pages_with_truth_beside_detections(tmp_path, make_video, capsys):
    (tmp_path / 'more').mkdir()
    make_video(tmp_path / 'more' / 'a.mp4', 40, 10)
    make_video(tmp_path / 'c.mp4', 10, 10)
    (tmp_path / 'torn.mp4').write_bytes(b'no video')

    def entry(file, label, subset='validation'):
        action = dict(segment=[1, 9], label=label)
        facts = dict(subset=subset, file=file, duration=4.0, fps=10)
        return dict(facts, annotations=[action])

    database = {'one': entry('more/a.mp4', 'wave'), 'torn': entry('torn.mp4', 'jump')}
    database['c'] = entry('c.mp4', 'jump', 'training')
    ann_file, found = tmp_path / 'annotations.json', tmp_path / 'found.json'
    ann_file.write_text(json.dumps(dict(database=database)))
    segments = Segments([[1, 3], [0, 1], [2, 3]], [1, 0, 0], [0.9, 0.119, 0.08])
    detections = {'one': segments, 'c': Segments.empty(with_scores=True)}
    dump_detections(found, detections, ['jump', 'wave'])
    pages = []
    for subset, name in (('validation', 'a'), ('training', 'c')):
        data = load_evaluation_data(ann_file, found, subset=subset, on_invalid='clamp')
        (page,) = _write_reports(data, str(tmp_path), tmp_path / subset)
        assert page == tmp_path / subset / f'{name}.html'
        assert list(page.parent.iterdir()) == [page]
        text = page.read_text(encoding='utf-8')
        pages.append(json.loads(re.search('id="data">(.*?)</script>', text, re.S)[1]))
    page, without_detection = pages
    # What reaches out of the video is cut.
    (truth,) = page['truth']
    assert (truth['start'], truth['end'], truth['label']) == (1.0, 4.0, 1)
    best, weak, _ = page['detections']
    assert (best['start'], best['end'], best['label']) == (1.0, 3.0, 1)
    assert best['tiou'] == pytest.approx(2 / 3, abs=1e-3)
    assert weak['score'] == 0.119
    # Two actions are annotated: the slider shows the two best detections.
    assert page['threshold'] == 0.11
    assert [c['name'] for c in page['classes'].values()] == ['jump', 'wave']
    # The broken one is reported and does not stop the others.
    (line,) = re.findall('no report of .*', capsys.readouterr().out)
    assert re.match('no report of torn: .*torn.mp4: cannot be opened', line)
    assert without_detection['detections'] == []
    facts = len(without_detection['truth']), without_detection['threshold']
    assert facts == (1, 0.2)
