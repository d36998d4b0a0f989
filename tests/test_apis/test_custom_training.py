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
    mirror_is_safe,
    plan_training,
    prepare_custom_training,
    train_custom,
    write_reports,
)
from mmtal_mts.apis.evaluation import load_evaluation_data
from mmtal_mts.evaluation.functional.detections import dump_detections
from mmtal_mts.structures import Segments, VideoAnnotation, load_annotations
from mmtal_mts.utils import UserError

BASE = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'


def plan(*lengths, duration=60.0, source_fps=30.0, **more):
    """One video for each action, which lies in its middle."""
    videos = []
    for length in lengths:
        times = [[duration / 2 - length / 2, duration / 2 + length / 2]]
        facts = ('v', '', duration, source_fps, None)
        videos.append(VideoAnnotation(*facts, Segments(times, [0])))
    return plan_training(videos, **more)


def test_usual_actions_get_the_usual_rate():
    result = plan(2.0, 4.0, 4.0)
    # 1.5 * 4 s = 60 frames. Strides 4, 8, 16, 32; 64 is longer than any action.
    windows = result.windows
    assert (windows.sample_fps, windows.clip_len, windows.num_levels) == (10.0, 64, 4)
    assert windows.stride == 16
    assert result.batch_size <= 8


@pytest.mark.parametrize(
    ('lengths', 'source_fps', 'duration', 'fps', 'clip_len'),
    [
        # Short actions get a higher rate if the videos have one; 15 fps: 7.5 frames.
        ((0.5, 0.5, 1.0), 30.0, 60.0, 25.0, None),
        ((0.5, 0.5, 1.0), 15.0, 60.0, 15.0, None),
        ((0.5, 0.5, 1.0), 29.97, 60.0, 25.0, None),
        ((0.1, 0.1, 1.0), 29.97, 60.0, 30.0, None),
        # Long ones get a lower rate and the largest window.
        ((120.0, 100.0, 2.0), 30.0, 600.0, 3.0, 512),
        # Longer than any window at the lowest rate: still a plan.
        ((3000.0, 2.0), 30.0, 4000.0, 1.0, 512),
        # A window is not longer than the longest video.
        ((9.0, 9.0), 30.0, 30.0, 10.0, 192),
        ((9.0, 9.0), 30.0, 9.3, 10.0, 96),
    ],
)
def test_rate_and_window_follow_the_actions(
    lengths, source_fps, duration, fps, clip_len
):
    result = plan(*lengths, source_fps=source_fps, duration=duration)
    assert result.windows.sample_fps == fps
    assert clip_len in (None, result.windows.clip_len)
    if clip_len == 96:  # 96 / 4 = 24 can be halved three times.
        assert result.windows.num_levels == 4


def test_the_number_of_epochs_is_by_the_amount_of_data_or_given():
    few, many = plan(*[2.0] * 4), plan(*[2.0] * 60)
    assert few.epochs == 100
    assert few.epochs > many.epochs >= 5
    assert plan(2.0, epochs=3).epochs == 3
    with pytest.raises(ValueError, match='no action'):
        plan_training([VideoAnnotation('v', '', 1.0, 30.0, None, Segments.empty())])


def test_classes_that_a_mirror_exchanges_are_noticed():
    assert not mirror_is_safe(['turn-left', 'jump'])
    assert not mirror_is_safe(['Right_turn'])
    assert mirror_is_safe(['upright', 'cleft', 'jump'])


@pytest.fixture
def data(tmp_path, make_video):
    """Six short videos of two classes, one of which cannot be a Python name."""
    folder = tmp_path / 'videos'
    folder.mkdir()
    rows = ['video,start,end,label']
    for index in range(6):
        make_video(folder / f'v{index}.mp4', 30, 10, size=(64, 48))
        label = ('"wave ""hi"""', 'turn left')[index % 2]
        rows.append(f'v{index},0.5,{2.5 if index else 3.5},{label}')
    table = tmp_path / 'a.csv'
    table.write_text('\n'.join(rows))
    return folder, table


def test_the_written_config_trains(data, tmp_path, repo_root, capsys):
    out, paths = tmp_path / 'run', (*data, tmp_path / 'run', repo_root / BASE)
    config = prepare_custom_training(*paths)
    text = capsys.readouterr().out
    assert 'training: 5 videos' in text
    assert 'not mirrored' in text
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
    prepare_custom_training(*paths)
    with pytest.raises(UserError, match='other settings'):
        prepare_custom_training(*paths, epochs=7)


def test_the_subsets_of_a_json_annotation_are_kept_and_weights_replace_the_warmup(
    data, tmp_path, repo_root
):
    database = {
        f'v{index}': dict(
            subset='validation' if index in (2, 3) else 'training',
            annotations=[dict(segment=[0.5, 2.0], label=str(index % 2))],
        )
        for index in range(6)
    }
    path = tmp_path / 'a.json'
    path.write_text(json.dumps({'database': database}))
    weights = tmp_path / 'w.pth'
    weights.touch()
    paths = data[0], path, tmp_path / 'run', repo_root / BASE
    config = prepare_custom_training(*paths, init=str(weights))
    written = json.loads((config.parent / 'annotations.json').read_text())['database']
    held_out = {name for name, v in written.items() if v['subset'] == 'validation'}
    assert held_out == {'v2', 'v3'}
    cfg = Config.fromfile(str(config))
    assert cfg.load_from == str(weights)
    assert cfg.model.warmup_head is None and cfg.custom_hooks == []
    assert cfg.train_dataloader.dataset.pipeline[2].type == 'FlipClip'


def test_other_subsets_are_split_anew_and_that_is_told(capsys):
    database = {
        f'v{index}': dict(subset=subset, annotations=[dict(label='a')])
        for index, subset in enumerate(['training', 'test', 'test', ''])
    }
    _assign_subsets(database, 0.5, 0)
    subsets = sorted(entry['subset'] for entry in database.values())
    assert subsets == ['training', 'training', 'validation', 'validation']
    told = 'subsets (none), test, training of the annotation are split anew'
    assert told in capsys.readouterr().out
    for entry in database.values():
        del entry['subset']
    _assign_subsets(database, 0.5, 0)
    assert capsys.readouterr().out == ''


def test_missing_files_and_other_models_are_refused(data, tmp_path, repo_root):
    out, base = tmp_path / 'run', repo_root / BASE
    with pytest.raises(UserError, match='none.csv: no such file or folder'):
        prepare_custom_training(data[0], tmp_path / 'none.csv', out, base)
    with pytest.raises(UserError, match='--init .*none.pth: no such file'):
        prepare_custom_training(*data, out, base, init=str(tmp_path / 'none.pth'))
    with pytest.raises(UserError, match='--val-fraction 1.5'):
        prepare_custom_training(*data, out, base, val_fraction=1.5)
    other = tmp_path / 'other.py'
    other.write_text("model = dict(type='BMN')")
    with pytest.raises(UserError, match='needs a TALMTS'):
        prepare_custom_training(*data, out, other)
    assert not (out / 'config.py').exists()


def test_files_are_found_by_name_or_id_and_measured(tmp_path, make_video):
    make_video(tmp_path / 'a.mp4', 20, 10)
    (tmp_path / 'sub').mkdir()
    make_video(tmp_path / 'sub' / 'b.mp4', 15, 5)
    found = {'a': {}, 'sub/b.mp4': {}}
    _measure_videos(found, str(tmp_path))
    assert found['a']['file'] == 'a.mp4'
    assert found['a']['duration'] == pytest.approx(2.0)
    assert found['sub/b.mp4']['file'] == 'sub/b.mp4'
    assert (found['sub/b.mp4']['duration'], found['sub/b.mp4']['fps']) == (3.0, 5.0)


def test_missing_and_broken_files_are_named(tmp_path):
    (tmp_path / 'bad.mp4').write_bytes(b'nothing')
    with pytest.raises(UserError, match='1 of 2 videos are missing\n.*none.mp4'):
        _measure_videos({'bad': {}, 'none': {}}, str(tmp_path))
    with pytest.raises(UserError, match='1 of 1 videos cannot be read\n.*bad.mp4'):
        _measure_videos({'bad': {}}, str(tmp_path))
    with pytest.raises(UserError, match='no such folder'):
        _measure_videos({}, str(tmp_path / 'nowhere'))


videos = st.dictionaries(
    st.text('abcdefgh', min_size=1, max_size=3),
    st.lists(st.sampled_from('ABC'), max_size=3),
    min_size=1,
    max_size=12,
)


def held_out_of(labels, fraction, seed):
    """The videos that are held out if each has these labels."""
    database = {
        name: dict(annotations=[dict(label=label) for label in own])
        for name, own in labels.items()
    }
    _assign_subsets(database, fraction, seed)
    return {name for name, entry in database.items() if entry['subset'] != 'training'}


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


def test_validation_gets_every_class_if_it_can():
    labels = {f'{label}{n}': [label] for label in 'ABCDE' for n in range(4)}
    for seed in range(5):
        chosen = held_out_of(labels, 0.25, seed)
        assert {name[0] for name in chosen} == set('ABCDE')


def test_what_came_out_is_drawn(data, tmp_path, repo_root, monkeypatch):
    config = prepare_custom_training(*data, tmp_path / 'run', repo_root / BASE)
    entries = json.loads((config.parent / 'annotations.json').read_text())['database']
    held_out = [
        name for name, entry in entries.items() if entry['subset'] != 'training'
    ]

    def train(cfg):
        assert cfg.randomness['seed'] == 5 and not cfg.resume
        Path(cfg.work_dir).mkdir()
        torch.save({}, Path(cfg.work_dir) / 'epoch_1.pth')

    def test(cfg):
        found = Segments([[0.5, 2.5]], [1], [0.9])
        classes = cfg.test_dataloader.dataset.classes
        path = cfg.test_evaluator.dump_path
        dump_detections(path, dict.fromkeys(held_out, found), classes)
        return {'mAP': 0.5}

    monkeypatch.setattr(custom_training, 'train', train)
    monkeypatch.setattr(custom_training, 'test', test)
    summary = train_custom(config, seed=5)
    out = config.parent
    assert summary == {
        'mAP': {'mAP': 0.5},
        'checkpoint': str(out / 'work_dir/epoch_1.pth'),
        'timeline': str(out / 'timeline.png'),
        'diagnosis': str(out / 'diagnosis/report.html'),
        'reports': f'{out / "reports"}, {len(held_out)} of {len(held_out)} videos',
    }
    assert all(Path(summary[key]).is_file() for key in ('timeline', 'diagnosis'))


def page_data(path):
    text = path.read_text(encoding='utf-8')
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


@pytest.fixture
def held_out(tmp_path, make_video):
    """Two held-out videos, one of which is torn, and one for training."""
    videos = tmp_path / 'videos'
    (videos / 'more').mkdir(parents=True)
    make_video(videos / 'more' / 'a.mp4', 40, 10)
    make_video(videos / 'c.mp4', 10, 10)
    (videos / 'torn.mp4').write_bytes(b'no video')
    rows = (
        ('first one', 'validation', 'more/a.mp4', 'wave'),
        ('torn', 'validation', 'torn.mp4', 'jump'),
        ('c', 'training', 'c.mp4', 'jump'),
    )
    database = {
        name: dict(
            dict(subset=subset, file=file, duration=4.0, fps=10),
            annotations=[dict(segment=[1.0, 9.0], label=label)],
        )
        for name, subset, file, label in rows
    }
    annotations = tmp_path / 'annotations.json'
    annotations.write_text(json.dumps(dict(database=database)))
    found = Segments(
        [[1.0, 3.0], [0.0, 1.0], [2.0, 3.0]], [1, 0, 0], [0.9, 0.119, 0.08]
    )
    found = {'first one': found, 'c': Segments.empty(with_scores=True)}
    dump_detections(tmp_path / 'found.json', found, ['jump', 'wave'])

    def load(subset):
        files, clamp = (annotations, tmp_path / 'found.json'), dict(on_invalid='clamp')
        return load_evaluation_data(*files, subset=subset, **clamp), str(videos)

    return load


def test_each_held_out_video_gets_a_page_with_truth_beside_detections(
    held_out, tmp_path, capsys
):
    pages = write_reports(*held_out('validation'), tmp_path / 'out')
    assert pages == [tmp_path / 'out' / 'a.html']
    assert list((tmp_path / 'out').iterdir()) == pages
    data = page_data(pages[0])
    # What reaches out of the video is cut.
    assert data['truth'] == [dict(start=1.0, end=4.0, label=1)]
    best, weak, _ = data['detections']
    assert (best['start'], best['end'], best['label']) == (1.0, 3.0, 1)
    assert best['tiou'] == pytest.approx(2 / 3, abs=1e-3)
    assert weak['score'] == 0.119
    # Two actions are annotated: the slider shows the two best detections.
    assert data['threshold'] == 0.11
    assert [c['name'] for c in data['classes'].values()] == ['jump', 'wave']
    # The broken one is reported and does not stop the others.
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match('no report of torn: .*torn.mp4: cannot be opened', line)


def test_without_a_detection_the_truth_is_shown(held_out, tmp_path):
    (page,) = write_reports(*held_out('training'), tmp_path / 'out')
    assert page_data(page)['detections'] == []
    assert page_data(page)['threshold'] == 0.2
    assert len(page_data(page)['truth']) == 1
