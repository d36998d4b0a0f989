"""Settings that follow from the data, and the config that holds them."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config

from mmtal_mts.apis.custom_config import config_text, mirror_is_safe
from mmtal_mts.apis.custom_data import assign_subsets
from mmtal_mts.apis.custom_plan import plan_training
from mmtal_mts.apis.custom_training import CustomRun, prepare_custom_training
from mmtal_mts.structures import load_annotations
from mmtal_mts.utils import UserError

BASE = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'


def plan(*lengths, duration=60.0, source_fps=30.0, **more):
    """One video for each action, which lies in its middle."""
    segments = [
        np.array([[duration / 2 - n / 2, duration / 2 + n / 2]]) for n in lengths
    ]
    return plan_training(segments, [duration] * len(lengths), source_fps, **more)


def test_usual_actions_get_the_usual_rate():
    result = plan(2.0, 4.0, 4.0)
    assert result.sample_fps == 10.0
    assert result.clip_len == 64  # 1.5 * 4 s = 60 frames
    # Strides 4, 8, 16, 32; the next, 64, is longer than the longest action.
    assert result.num_levels == 4
    assert result.window_stride == 16
    assert result.batch_size <= 8


def test_short_actions_get_a_higher_rate_if_the_videos_have_one():
    assert plan(0.5, 0.5, 1.0).sample_fps == 25.0  # 15 fps: 7.5 frames
    assert plan(0.5, 0.5, 1.0, source_fps=15.0).sample_fps == 15.0
    assert plan(0.5, 0.5, 1.0, source_fps=29.97).sample_fps == 25.0
    assert plan(0.1, 0.1, 1.0, source_fps=29.97).sample_fps == 30.0


def test_long_actions_get_a_lower_rate_and_the_largest_window():
    result = plan(120.0, 100.0, 2.0, duration=600.0)
    assert result.sample_fps == 3.0
    assert result.clip_len == 512
    assert result.num_windows > 3
    # Longer than any window at the lowest rate: still a plan.
    assert plan(3000.0, 2.0, duration=4000.0).sample_fps == 1.0


def test_a_window_is_not_longer_than_the_longest_video():
    assert plan(9.0, 9.0, duration=30.0).clip_len == 192
    assert plan(9.0, 9.0, duration=9.3).clip_len == 96
    # 96 / 4 = 24 can be halved three times.
    assert plan(9.0, 9.0, duration=9.3).num_levels == 4


def test_the_number_of_epochs_is_by_the_amount_of_data_or_given():
    few, many = plan(*[2.0] * 4), plan(*[2.0] * 60)
    assert few.epochs == 100
    assert few.epochs > many.epochs >= 5
    assert plan(2.0, epochs=3).epochs == 3
    with pytest.raises(ValueError, match='no action'):
        plan_training([np.zeros((0, 2))], [1.0], 30.0)


def test_classes_that_a_mirror_exchanges_are_noticed():
    assert not mirror_is_safe(['turn-left', 'jump'])
    assert not mirror_is_safe(['Right_turn'])
    assert mirror_is_safe(['upright', 'cleft', 'jump'])


def test_a_comment_cannot_leave_its_line(tmp_path):
    path = tmp_path / 'config.py'
    evil = 'reason\nimport os; x = 1\r\u2028y = 2'
    path.write_text(config_text(Config(dict(a=1)), [evil]), encoding='utf-8')
    assert dict(Config.fromfile(str(path))) == {'a': 1}


@pytest.fixture
def data(tmp_path):
    """Six short videos of two classes, one of which cannot be a Python name."""
    folder = tmp_path / 'videos'
    folder.mkdir()
    rows = ['video,start,end,label']
    for index in range(6):
        path = folder / f'v{index}.avi'
        writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48), True
        )
        for frame in range(30):
            writer.write(np.full((48, 64, 3), 8 * frame, np.uint8))
        writer.release()
        label = ('wave "hi"', 'turn left')[index % 2]
        rows.append(
            f'v{index},0.5,{2.5 if index else 3.5},"{label}"'.replace(
                '"wave "hi""', '"wave ""hi"""'
            )
        )
    table = tmp_path / 'a.csv'
    table.write_text('\n'.join(rows))
    return folder, table


def test_the_written_config_trains(data, tmp_path, repo_root):
    said = []
    run = CustomRun(tmp_path / 'run')
    prepare_custom_training(
        run, str(data[0]), str(data[1]), str(repo_root / BASE), say=said.append
    )
    text = '\n'.join(said)
    assert 'training: 5 videos' in text
    assert 'not mirrored' in text
    # v0 is annotated half a second beyond its end.
    assert re.search(r'error +1 .*\n.*v0', text)
    check = run.check.read_text(encoding='utf-8')
    assert 'training windows: 64 frames at 10 fps, stride 16' in check
    annotations = load_annotations(str(run.annotations), on_invalid='clamp')
    assert annotations.videos['v0'].segments.tolist() == [[0.5, 3.0]]

    cfg = Config.fromfile(str(run.config))
    assert cfg.train_dataloader.dataset.classes == ['turn left', 'wave "hi"']
    assert not any(
        step.type == 'FlipClip' for step in cfg.train_dataloader.dataset.pipeline
    )
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model)
    item = dataset[0]
    batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    losses = model._run_forward(model.data_preprocessor(batch, True), mode='loss')
    assert all(torch.isfinite(loss).all() for loss in losses.values())

    # The same again is a resume; other settings are another training.
    run.work_dir.mkdir()
    torch.save({}, run.work_dir / 'epoch_1.pth')
    (run.work_dir / 'last_checkpoint').write_text(str(run.work_dir / 'epoch_1.pth'))
    options = dict(say=said.append)
    paths = (str(data[0]), str(data[1]), str(repo_root / BASE))
    prepare_custom_training(run, *paths, **options)
    with pytest.raises(UserError, match='other settings'):
        prepare_custom_training(run, *paths, epochs=7, **options)


def test_the_subsets_of_a_json_annotation_are_kept_and_weights_replace_the_warmup(
    data, tmp_path, repo_root
):
    database = {
        f'v{index}': {
            'subset': 'validation' if index in (2, 3) else 'training',
            'annotations': [{'segment': [0.5, 2.0], 'label': str(index % 2)}],
        }
        for index in range(6)
    }
    path = tmp_path / 'a.json'
    path.write_text(json.dumps({'database': database}))
    weights = tmp_path / 'w.pth'
    weights.touch()
    run = CustomRun(tmp_path / 'run')
    prepare_custom_training(
        run,
        str(data[0]),
        str(path),
        str(repo_root / BASE),
        init=str(weights),
        say=lambda text: None,
    )
    written = json.loads(run.annotations.read_text())['database']
    held_out = {name for name, v in written.items() if v['subset'] == 'validation'}
    assert held_out == {'v2', 'v3'}
    cfg = Config.fromfile(str(run.config))
    assert cfg.load_from == str(weights)
    assert cfg.model.warmup_head is None
    assert cfg.custom_hooks == []


def test_other_subsets_are_split_anew_and_that_is_told():
    database = {
        f'v{index}': dict(subset=subset, annotations=[dict(label='a')])
        for index, subset in enumerate(['training', 'test', 'test', ''])
    }
    said = []
    assign_subsets(database, 0.5, 0, said.append)
    subsets = sorted(entry['subset'] for entry in database.values())
    assert subsets == ['training', 'training', 'validation', 'validation']
    assert len(said) == 1
    assert 'subsets (none), test, training of the annotation are split anew' in said[0]
    for entry in database.values():
        del entry['subset']
    assign_subsets(database, 0.5, 0, said.append)
    assert len(said) == 1


def test_missing_files_and_other_models_are_refused(data, tmp_path, repo_root):
    run = CustomRun(tmp_path / 'run')
    base = str(repo_root / BASE)
    with pytest.raises(UserError, match='none.csv: no such file or folder'):
        prepare_custom_training(run, str(data[0]), str(tmp_path / 'none.csv'), base)
    paths = (str(data[0]), str(data[1]))
    with pytest.raises(UserError, match='--init .*none.pth: no such file'):
        prepare_custom_training(run, *paths, base, init=str(tmp_path / 'none.pth'))
    with pytest.raises(UserError, match='--val-fraction 1.5'):
        prepare_custom_training(run, *paths, base, val_fraction=1.5)
    other = tmp_path / 'other.py'
    other.write_text("model = dict(type='BMN')")
    with pytest.raises(UserError, match='needs a TALMTS'):
        prepare_custom_training(run, *paths, str(other), say=lambda text: None)
    assert not run.config.exists()
