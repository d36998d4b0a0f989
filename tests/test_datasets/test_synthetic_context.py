"""Scenes with context: labels follow cues, which nothing else in the video tells."""

import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from mmengine.config import Config

from mmtal_mts.datasets.synthetic import (
    SyntheticSettings,
    SyntheticVideo,
    generate_dataset,
)
from mmtal_mts.datasets.synthetic_scene import (
    CLASSES,
    CONTEXT_CLASSES,
    MOTIONS,
    NODS,
    SIGNAL,
    LampState,
    render,
)

SHORT = dict(num_train=1, num_test=0, duration=(15.0, 16.0), size=32, fps=(10,))
STEP_S = 0.05


@pytest.fixture(scope='module')
def videos():
    settings = SyntheticSettings(context=True)
    return [SyntheticVideo(settings, 'test', index) for index in range(200)]


def nods_of(video):
    return [part for part in video.actions if part.label in NODS]


# The script


def test_labels_follow_what_the_lamp_showed_5_to_8_seconds_before(videos):
    for video in videos[:60]:
        times = np.arange(0.0, video.duration_s, STEP_S)
        lights = np.array([video.lamp(time).light for time in times])
        changes = np.flatnonzero(lights[1:] != lights[:-1]) + 1
        # Dark first and last: each cue is switched on and off.
        shown = list(zip(changes[::2], changes[1::2], strict=True))
        nods = nods_of(video)
        assert lights[0] is None and len(shown) == len(nods) > 0
        for (on, off), nod in zip(shown, nods, strict=True):
            assert set(lights[on:off]) == {nod.label}
            assert 0.99 <= (off - on) * STEP_S <= 1.51 + STEP_S
            # All of the cue lies in these bounds.
            assert 4.99 <= nod.start_s - times[off - 1] <= 6.01 + STEP_S
            assert 5.99 <= nod.start_s - times[on - 1] and nod.start_s - times[on] < 8


def test_no_second_cue_or_nod_lies_between_a_cue_and_its_nod(videos):
    between = 0
    for video in videos:
        nods = nods_of(video)
        assert nods[0].cue_s[0] >= 0.0
        assert all(one.end_s <= other.cue_s[0] for one, other in pairwise(nods))
        for nod in nods:
            assert nod.end_s - nod.start_s <= 2.5
            between += sum(
                nod.cue_s[1] < part.start_s < nod.start_s for part in video.actions
            )
        others = [part for part in video.actions if part.label not in NODS]
        assert all(part.cue_s is None for part in others)
    assert between > 200  # other actions distract from the cue


def test_kinds_are_balanced_and_nothing_else_tells_them(videos):
    # Four standard deviations of chance, with about 400 nods.
    bound = 0.2
    assert MOTIONS[NODS[0]] is MOTIONS[NODS[1]]
    facts, kinds, successions = [], [], []
    for video in videos:
        nods = nods_of(video)
        own = [2 * NODS.index(nod.label) - 1 for nod in nods]
        successions += [one * other for one, other in pairwise(own)]
        kinds += own
        for index, nod in enumerate(nods):
            pose = video.poses(np.array([nod.start_s]))[:, 0]
            length, delay = nod.end_s - nod.start_s, nod.start_s - nod.cue_s[1]
            lit = nod.cue_s[1] - nod.cue_s[0]
            facts.append([*pose, length, delay, lit, index, nod.start_s, video.fps])
    assert len(kinds) > 300
    assert abs(np.mean(kinds)) < bound and abs(np.mean(successions)) < 1.5 * bound
    correlations = np.corrcoef(np.array(facts), np.array(kinds), rowvar=False)[-1, :-1]
    assert np.abs(correlations).max() < bound
    counts = [
        sum(p.label == name for v in videos for p in v.actions) for name in CLASSES
    ]
    assert min(counts) > 100


def test_nods_are_vertical_and_signals_leave_the_actor_at_rest(videos):
    seen = set()
    for video in videos[:60]:
        for part in video.actions:
            times = np.arange(part.start_s, part.end_s, 0.01)
            x, y, level = video.poses(times)
            swing = np.array([video.lamp(time).swing for time in times])
            if part.label == SIGNAL:
                # Two swings a second, from and to the lamp's place.
                assert abs(swing[0]) < 0.2 and abs(swing[-1]) < 0.2
                assert swing.max() > 0.9 and swing.min() > -1.001
                turns = np.count_nonzero(np.diff(np.sign(swing)))
                assert turns == pytest.approx(4 * (part.end_s - part.start_s), abs=2)
                assert np.ptp(y) < 0.013 * (part.end_s - part.start_s)
                assert not np.ptp(level)
                seen.add(SIGNAL)
            else:
                assert not swing.any()
            if part.label in NODS:
                assert not np.ptp(x) and not np.ptp(level)
                assert 0.1 < np.ptp(y) <= 0.4 + 1e-6
                seen.add(part.label)
    assert seen == {SIGNAL, *NODS}


# The pictures


def picture(seed, light=None, swing=0.0):
    """The middle 48 pixels of 54, as networks see them."""
    state = LampState(light, swing)
    pose = np.array([[0.5], [-9.5], [0.0]])  # the actor is far above the frame
    rng = np.random.default_rng(seed)
    frame = next(render(rng, 54, np.zeros(1), pose, lambda time_s: state))
    return frame[3:51, 3:51].astype(int)


@pytest.mark.parametrize('seed', range(30))
def test_one_patch_shows_the_lamp_and_what_it_does(seed):
    dark = picture(seed)
    changed = np.abs(picture(seed, NODS[0]) - dark).sum(axis=2) > 20
    patches = changed.reshape(3, 16, 3, 16).any(axis=(1, 3))
    assert patches.sum() == 1
    assert 20 <= changed.sum() <= 60  # a disc of about 6.5 pixels
    warm, cold = (picture(seed, name)[changed].mean(axis=0) for name in NODS)
    assert warm[0] - warm[2] > 80 and cold[2] - cold[0] > 80
    assert warm.sum() - dark[changed].mean(axis=0).sum() > 100
    left, right = (np.abs(picture(seed, swing=s) - dark).sum(axis=2) for s in (-1, 1))
    columns = np.nonzero((left > 20).any(axis=0) | (right > 20).any(axis=0))[0]
    assert 10 <= np.ptp(columns) <= 18
    # Neither end of the swing reaches the middle of another patch.
    home = patches.any(axis=0).argmax()
    assert 16 * home - 3 <= columns.min() and columns.max() <= 16 * home + 18


# The files


def test_data_sets_with_and_without_context_are_told_apart(
    tmp_path, load_tool, monkeypatch, capsys
):
    tool = load_tool('dataset_converters/generate_synthetic.py')
    options = '--num-train 1 --num-test 0 --duration 15 16 --size 32 --fps 10'.split()

    def run(name, *more):
        arguments = ['tool', str(tmp_path / name), *options, '--workers', '1', *more]
        monkeypatch.setattr(sys, 'argv', arguments)
        tool.main()
        return json.loads((tmp_path / name / 'annotations.json').read_text())

    found = run('with', '--context')
    assert found['classes'] == list(CONTEXT_CLASSES)
    assert found['generator']['context'] is True
    (entry,) = found['database'].values()
    assert {action['label'] for action in entry['annotations']} - set(CLASSES)
    generate_dataset(tmp_path / 'with', SyntheticSettings(**SHORT, context=True))
    with pytest.raises(FileExistsError, match='context is True, asked for False'):
        run('with')
    # The files of before there was context: they are kept, and made as they were.
    found = run('without')
    assert found['classes'] == list(CLASSES) and 'context' not in found['generator']
    with pytest.raises(FileExistsError, match='context is False, asked for True'):
        run('without', '--context')
    video = tmp_path / 'without/videos/synthetic_train_0000.mp4'
    modified = video.stat().st_mtime_ns
    run('without')
    assert video.stat().st_mtime_ns == modified
    assert 'annotations.json' in capsys.readouterr().out


def test_context_needs_room():
    with pytest.raises(
        ValueError, match=r'duration is \(14.0, 30.0\).* 15 s .*context'
    ):
        SyntheticSettings(duration=(14.0, 30.0), context=True)
    for index in range(20):
        video = SyntheticVideo(SyntheticSettings(**SHORT, context=True), 'train', index)
        assert video.parts[-1].end_s == video.duration_s
        assert all(nod.cue_s[0] >= 0 for nod in nods_of(video))


@pytest.mark.parametrize('variant', ['tal-mts', 'ablation_baseline'])
def test_configs_have_the_classes_of_the_generator(repo_root, variant):
    name = f'{variant}_i3d-tiny_1xb4-128x48x48_synthetic-context.py'
    cfg = Config.fromfile(str(repo_root / 'configs/tal_mts' / name))
    loaders = cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader
    for loader in loaders:
        assert loader.dataset.classes == CONTEXT_CLASSES
        assert loader.dataset.data_root == 'data/synthetic_context/'
    assert cfg.test_evaluator.ann_file == 'data/synthetic_context/annotations.json'
    heads = cfg.model.coarse_head, cfg.model.refine_head, cfg.model.warmup_head
    assert [head.num_classes for head in heads] == [len(CONTEXT_CLASSES)] * 3
