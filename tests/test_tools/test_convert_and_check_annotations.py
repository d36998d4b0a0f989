"""The commands that convert and check annotations."""

from __future__ import annotations

import json
import runpy
import shutil
import sys

import pytest

from mmtal_mts.datasets import TALDataset


@pytest.fixture
def run(repo_root, monkeypatch, tmp_path, capsys):
    """Runs a tool as a script; in this process, because importing takes seconds."""
    monkeypatch.chdir(tmp_path)

    def command(tool, *arguments):
        """Returns exit status, output and errors."""
        path = str(repo_root / f'tools/dataset_converters/{tool}_annotations.py')
        monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(path, run_name='__main__')
        return exit_info.value.code, *capsys.readouterr()

    return command


def test_from_a_foreign_file_to_a_safe_one(run, repo_root, tmp_path):
    data = repo_root / 'tests' / 'data' / 'annotations' / 'afsd'
    status, text, errors = run('convert', data, '--out', 'out/a.json')
    assert status == 0, errors
    assert 'imported  6 actions of 4 classes in 3 videos' in text
    assert len(json.loads((tmp_path / 'out/a.json').read_text())['database']) == 3

    report = ['--json', 'report.json', '--plot', 'plot.png']
    status, text, errors = run('check', 'out/a.json', *report)
    assert status == 1, errors
    assert 'NOT safe to train on: 1 errors' in text
    assert json.loads((tmp_path / 'report.json').read_text())['counts']['outside'] == 1
    assert (tmp_path / 'plot.png').read_bytes()[:4] == b'\x89PNG'

    correction = ['--fix', 'clamp', '--out', 'b.json']
    status, text, errors = run('check', 'out/a.json', *correction)
    assert status == 0, errors
    assert '--fix clamp: 1 changes, wrote b.json' in text
    items = json.loads((tmp_path / 'b.json').read_text())['database']
    assert len(items['video_validation_0000364']['annotations']) == 1


def test_a_table_and_a_folder_of_videos_become_a_data_set(run, repo_root, tmp_path):
    shutil.copy(repo_root / 'tests/data/index_brightness.mp4', tmp_path / 'clip.mp4')
    (tmp_path / 'mine.csv').write_text('clip.mp4,0.1,0.5,flash\n')
    options = ['--durations', '.', '--subset', 'training', '--out', 'a.json']
    status, _, errors = run('convert', 'mine.csv', *options)
    assert status == 0, errors
    assert run('check', 'a.json', '--videos', '.')[0] == 0
    dataset = TALDataset('a.json', data_prefix={'video': '.'}, clip_len=8)
    assert dataset.metainfo['classes'] == ('flash',)
    assert dataset.get_data_info(0)['gt_segments'].tolist() == [[1.0, 5.0]]


@pytest.mark.parametrize(
    ('tool', 'file', 'arguments', 'message'),
    [
        ('check', 'bad', '', 'error: bad: needs an object with the field "database"'),
        ('convert', 'bad', '--out b.json', 'error: no known annotation format in bad'),
        ('check', 'empty', '--fix clamp', '--fix and --out go together'),
        ('check', 'empty', '--out b.json', '--fix and --out go together'),
        ('check', 'empty', '--fix guess', 'invalid choice'),
        ('check', 'empty', '--window 0', '--window must be positive'),
        ('check', 'empty', '--plot a.png', 'there is no action to draw'),
    ],
)
def test_bad_input_ends_with_a_message(run, tmp_path, tool, file, arguments, message):
    (tmp_path / 'bad').write_text('{}')
    (tmp_path / 'empty').write_text('{"database": {}}')
    status, _, errors = run(tool, file, *arguments.split())
    assert status == 2 and message in errors
    assert 'Traceback' not in errors
    assert not (tmp_path / 'b.json').exists()
