from __future__ import annotations

import json
import os
import sys
from functools import partial

import numpy as np
import pytest
from toy_runner import ROOT, free_port, start_child

from mmtal_mts.apis.batch_inference import FORMATS, find_videos, infer_videos
from mmtal_mts.apis.writers import Selection
from mmtal_mts.structures import load_annotations
from mmtal_mts.utils import UserError, run_tool


@pytest.fixture
def infer(inferencer):
    return partial(infer_videos, inferencer, selection=Selection(0.0, None))


@pytest.fixture
def videos(tmp_path, make_video):
    folder = tmp_path / 'my_videos'
    folder.mkdir()
    make_video(folder / 'first.mp4', 20, 10)
    (folder / 'broken.mp4').write_bytes(b'not a video')
    (folder / 'empty.mp4').write_bytes(b'')
    make_video(folder / 'Übung 2.avi', 12, 10, codec='mpeg4')
    return folder


def test_broken_videos_do_not_stop_the_others(infer, videos, tmp_path, capsys):
    out = tmp_path / 'out'
    report = infer([videos], out, ('json', 'csv'))
    assert report.done == ['first', 'Übung 2'] and not report.skipped
    names = sorted(os.path.basename(path) for path in report.failed)
    assert names == ['broken.mp4', 'empty.mp4']
    expected = {f'{n}.{kind}' for n in report.done for kind in ('json', 'csv')}
    written = {path.name for path in out.iterdir()}
    assert written == expected | {'.finished', 'detections.json'}
    both = json.loads((out / 'detections.json').read_text(encoding='utf-8'))['results']
    assert list(both) == ['first', 'Übung 2']
    alone = json.loads((out / 'first.json').read_text())['results']
    assert alone['first'] == both['first']
    summary = report.summary()
    assert summary.startswith('videos: 2 done, 2 failed')
    assert 'empty.mp4: cannot be opened as a video (it is empty)' in summary
    assert 'broken: FAILED' in capsys.readouterr().out


def test_finished_videos_are_skipped_until_something_changes(
    infer, videos, tmp_path, make_video
):
    inputs = [videos / 'first.mp4', videos / 'Übung 2.avi']

    def run(formats=('json',), **more):
        report = infer(inputs, tmp_path / 'out', formats, **more)
        return report.done, report.skipped

    both, other = ['first', 'Übung 2'], dict(selection=Selection(0.1))
    assert run() == (both, [])
    written = (tmp_path / 'out/first.json').stat().st_mtime_ns
    assert run() == ([], both)
    assert (tmp_path / 'out/first.json').stat().st_mtime_ns == written
    assert run(overwrite=True) == (both, [])
    assert run(**other) == (both, [])
    assert run(('json', 'csv'), **other) == (both, [])
    for change in (
        (tmp_path / 'out/first.csv').unlink,
        lambda: make_video(inputs[0], 21, 10),
        lambda: (tmp_path / 'out/.finished/first.json').write_text('{torn'),
    ):
        change()
        assert run(('json', 'csv'), **other) == (['first'], ['Übung 2'])


def test_every_format_of_odd_videos(infer, tmp_path, make_video):
    folder = tmp_path / "a 'b' #1 100%"
    folder.mkdir()
    inputs = [
        make_video(folder / '<i>&"x".mp4', 15, 10, with_sound=True),
        make_video(folder / 'one frame.mp4', 1, 10),
        make_video(folder / 'odd.mkv', 8, 10, size=(37, 23)),
        make_video(folder / 'varying.mp4', 6, times=[0, 0.5, 0.6, 1.9, 2.0, 3.0]),
    ]
    out = tmp_path / 'out'
    report = infer(inputs, out, tuple(FORMATS))
    assert not report.failed
    # Nothing temporary is left behind.
    written = {path.name for path in out.iterdir() if path.stat().st_size > 0}
    ends = [end for end, _ in FORMATS.values()]
    expected = {f'{name}{end}' for name in report.done for end in ends}
    assert written == expected | {'.finished', 'detections.json'}
    assert len(expected) == len(inputs) * 7


def test_results_beside_the_videos(infer, videos):
    assert infer([videos], videos, ('srt', 'mp4')).done == ['first', 'Übung 2']
    assert (videos / 'first.srt').is_file()
    again = infer([videos], videos, ('srt', 'mp4'))
    assert again.skipped == ['first', 'Übung 2'] and len(again.failed) == 2


def test_ground_truth_is_found_by_id_or_file(infer, inferencer, videos, tmp_path):
    entry = dict(duration=2.0, annotations=[dict(segment=[0.5, 1.0], label='yoga')])
    database = {'first': entry, 'x': dict(entry, file='some/Übung 2.avi')}
    ann_file = tmp_path / 'ann.json'
    ann_file.write_text(json.dumps(dict(version='1', database=database)))
    annotations = load_annotations(str(ann_file))
    for name in ('first.mp4', 'Übung 2.avi'):
        result = inferencer(videos / name).with_ground_truth(annotations)
        assert result.classes == (*inferencer.classes, 'yoga')
        assert result.ground_truth.labels.tolist() == [6]
        np.testing.assert_array_equal(result.ground_truth.segments, [[0.5, 1.0]])
    unknown = inferencer(np.zeros((5, 32, 32, 3), np.uint8), fps=10)
    assert unknown.with_ground_truth(annotations) is unknown
    infer([videos / 'first.mp4'], tmp_path / 'out', ('html',), ann_file=ann_file)
    assert 'yoga' in (tmp_path / 'out/first.html').read_text(encoding='utf-8')


def test_mistakes_are_told_before_any_work(infer, videos, tmp_path):
    with pytest.raises(UserError, match="unknown format 'gif'"):
        infer([videos], tmp_path, ('gif',))
    with pytest.raises(UserError, match="class 'yoga' is unknown"):
        infer([videos], tmp_path, selection=Selection(classes=('yoga',)))
    mine = videos / 'first.annotated.mp4'
    mine.write_bytes(b'mine')
    with pytest.raises(UserError, match='would be overwritten'):
        infer([videos / 'first.mp4', mine], videos, ('mp4',))
    assert mine.read_bytes() == b'mine'


@pytest.fixture
def options(tiny_model):
    """Options of the tool."""
    model = ['--model', tiny_model.config, '--weights', tiny_model.weights]
    return ['--out', 'out', *model]


def test_tool_on_two_processes(options, videos, tmp_path):
    command = [sys.executable, f'{ROOT}/tools/infer.py', videos.name, *options]
    command += '--formats json --score-thr 0 --launcher pytorch'.split()
    # What torchrun sets.
    env = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port(), WORLD_SIZE='2')
    ranks = [
        start_child(*command, cwd=tmp_path, RANK=rank, LOCAL_RANK=rank, **env)
        for rank in '01'
    ]
    first, second = (process.communicate(timeout=400)[0] for process in ranks)
    # Two videos are broken.
    assert [process.returncode for process in ranks] == [1, 1], first + second
    assert 'videos: 2 done, 2 failed' in first and 'videos:' not in second
    assert '[0] broken: FAILED' in first and '[1] empty: FAILED' in second
    results = json.loads((tmp_path / 'out/detections.json').read_text())['results']
    assert set(results) == {'first', 'Übung 2'}


def test_tool_tells_of_a_missing_file(load_tool, options, monkeypatch, capsys):
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr(sys, 'argv', ['infer.py', 'gone.mp4', *options])
    assert run_tool(load_tool('infer.py').main) == 2
    assert 'error: input gone.mp4 does not exist' in capsys.readouterr().err


def make_empty(folder, names):
    paths = [folder / name for name in names.split()]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return paths


def test_folders_files_patterns_and_lists(tmp_path):
    make_empty(tmp_path, 'a.mp4 b.AVI notes.md .hidden.mp4 sub/c_d.mkv ü[1].mp4')
    (tmp_path / 'list.txt').write_text('# mine\n\na.mp4\nsub\n*.AVI\ngone.mp4\n')
    every = ['a', 'b', 'c_d', 'ü[1]']
    for inputs, names in (
        (['.'], every),
        # Each file once.
        (['b.AVI', '.'], ['b', 'a', 'c_d', 'ü[1]']),
        # A missing file of a list is reported later, with the others done.
        (['list.txt'], ['a', 'c_d', 'b', 'gone']),
        (['ü[1].mp4'], ['ü[1]']),
        (['**/*.mkv', 'a.mp4'], ['c_d', 'a']),
    ):
        videos = find_videos([os.path.join(tmp_path, item) for item in inputs])
        assert list(videos) == names
        assert videos.get('c_d') in (None, str(tmp_path / 'sub/c_d.mkv'))
    # Results are no inputs.
    result, _ = make_empty(tmp_path, 'a.annotated.mp4 b.preview.mp4')
    assert list(find_videos([tmp_path, f'{tmp_path}/*.mp4'])) == every
    assert list(find_videos([result])) == ['a.annotated']


def test_names_are_unique(tmp_path):
    files = 'x/v.mp4 x/v.avi y/v.avi x/V.mkv x/detections.mp4 p/x/w.mp4 q/x/w.mp4'
    names = 'v.mp4 x_v.avi y_v.avi V.mkv detections.mp4 w.mp4-2 w.mp4-3'
    assert list(find_videos(make_empty(tmp_path, files))) == names.split()


def test_inputs_that_stand_for_nothing(tmp_path):
    (tmp_path / 'empty').mkdir()
    for name, content, message in (
        ('gone.mp4', None, 'does not exist'),
        ('*.webm', None, 'matches no file'),
        ('empty', None, 'holds no video'),
        ('empty.txt', b'# nothing\n', 'names no video'),
        ('nested.txt', b'empty.txt\n', 'names another list'),
        ('binary.txt', b'\xff\xfe\x00', 'is not UTF-8'),
    ):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            find_videos([tmp_path / name])
