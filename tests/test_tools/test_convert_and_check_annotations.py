"""The commands that convert and check annotations."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from types import SimpleNamespace

import pytest

from mmtal_mts.datasets import TALDataset


@pytest.fixture
def run(repo_root, monkeypatch, tmp_path, capsys):
    """Runs a tool as a script; in this process, because importing takes seconds."""
    monkeypatch.chdir(tmp_path)

    def command(tool, *arguments):
        path = str(repo_root / 'tools' / 'dataset_converters' / tool)
        monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(path, run_name='__main__')
        captured = capsys.readouterr()
        return SimpleNamespace(
            returncode=exit_info.value.code, stdout=captured.out, stderr=captured.err
        )

    return command


def test_from_a_foreign_file_to_a_safe_one(run, repo_root, tmp_path):
    data = repo_root / 'tests' / 'data' / 'annotations' / 'afsd'
    done = run('convert_annotations.py', data, '--out', 'out/a.json')
    assert done.returncode == 0, done.stderr
    assert 'imported  6 actions of 4 classes in 3 videos' in done.stdout
    assert len(json.loads((tmp_path / 'out/a.json').read_text())['database']) == 3

    report = ['--json', 'report.json', '--plot', 'plot.png']
    done = run('check_annotations.py', 'out/a.json', *report)
    assert done.returncode == 1, done.stderr
    assert 'NOT safe to train on: 1 errors' in done.stdout
    assert json.loads((tmp_path / 'report.json').read_text())['counts']['outside'] == 1
    assert (tmp_path / 'plot.png').read_bytes()[:4] == b'\x89PNG'

    done = run(
        'check_annotations.py', 'out/a.json', '--fix', 'clamp', '--out', 'b.json'
    )
    assert done.returncode == 0, done.stderr
    assert '--fix clamp: 1 changes, wrote b.json' in done.stdout
    items = json.loads((tmp_path / 'b.json').read_text())['database']
    assert len(items['video_validation_0000364']['annotations']) == 1


def test_a_table_and_a_folder_of_videos_become_a_data_set(run, repo_root, tmp_path):
    video = repo_root / 'tests' / 'data' / 'index_brightness.mp4'
    shutil.copy(video, tmp_path / 'clip.mp4')
    (tmp_path / 'mine.csv').write_text('clip.mp4,0.1,0.5,flash\n')
    options = ['--durations', '.', '--subset', 'training', '--out', 'a.json']
    done = run('convert_annotations.py', 'mine.csv', *options)
    assert done.returncode == 0, done.stderr
    assert run('check_annotations.py', 'a.json', '--videos', '.').returncode == 0
    dataset = TALDataset('a.json', data_prefix={'video': '.'}, clip_len=8)
    assert dataset.metainfo['classes'] == ('flash',)
    assert dataset.get_data_info(0)['gt_segments'].tolist() == [[1.0, 5.0]]


def test_bad_input_ends_with_a_message(run, tmp_path):
    (tmp_path / 'a.json').write_text('{}')
    done = run('check_annotations.py', 'a.json')
    assert done.returncode == 2
    assert 'error: a.json: needs an object with the field "database"' in done.stderr
    done = run('convert_annotations.py', 'a.json', '--out', 'b.json')
    assert done.returncode == 2
    assert 'error: no known annotation format in a.json' in done.stderr
    assert not (tmp_path / 'b.json').exists()
    assert 'Traceback' not in done.stderr


def test_arguments_that_make_no_sense(run, tmp_path):
    (tmp_path / 'a.json').write_text('{"database": {}}')
    for arguments in (['--fix', 'clamp'], ['--out', 'b.json'], ['--fix', 'guess']):
        assert run('check_annotations.py', 'a.json', *arguments).returncode == 2
    done = run('check_annotations.py', 'a.json', '--window', '0')
    assert done.returncode == 2
    assert '--window must be positive' in done.stderr
    done = run('check_annotations.py', 'a.json', '--plot', 'a.png')
    assert 'there is no action to draw' in done.stderr
