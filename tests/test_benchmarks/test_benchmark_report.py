"""Measuring, tables, pages, and the tool."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from mmtal_mts.benchmarks import Report, run_benchmark
from mmtal_mts.benchmarks.end_to_end import STAGES
from mmtal_mts.benchmarks.pages import update_page, write_json
from mmtal_mts.benchmarks.timing import Case, Measurement, PeakMemory, measure
from mmtal_mts.datasets.video_writer import write_video

TINY = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
SMALL = dict(runs=1, warmup=0, clip_len=128, crop_size=48)


def test_cases_run_in_turn_and_warm_up_is_not_kept():
    calls = []
    cases = [Case(name, lambda name=name: calls.append(name)) for name in 'ab']
    results = measure(cases, runs=3, warmup=2)
    assert ''.join(calls) == 'ab' * 5
    assert [len(result.seconds) for result in results] == [3, 3]


def test_processor_time_does_not_count_waiting():
    case = [Case('sleep', lambda: time.sleep(0.05), items=2)]
    (wall,) = measure(case, runs=1, warmup=0)
    (cpu,) = measure(case, runs=1, warmup=0, clock='cpu')
    assert wall.seconds[0] >= 0.05 > 2 * cpu.seconds[0]
    assert wall.per_item[0] == wall.seconds[0] / 2


@pytest.mark.parametrize('setting', [dict(runs=0), dict(warmup=-1), dict(clock='sun')])
def test_unusable_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        measure([Case('a', int)], **setting)


@pytest.mark.skipif(sys.platform != 'linux', reason='read from /proc')
def test_peak_memory_counts_what_is_gone_again():
    memory = PeakMemory('cpu')
    memory.start()
    block = np.ones(50_000_000, dtype=np.uint8)
    del block
    peak = memory.stop()
    if peak is None:
        pytest.skip('this system does not reset the high-water mark')
    assert 45e6 < peak < 150e6


def report(**changes):
    slow, fast = Measurement('slow', 1, [2.0, 6.0], 3_000_000), Measurement('fast', 10)
    fast.seconds += [1.0, 2.0]
    settings = dict(
        name='soft_nms',
        title='Soft-NMS',
        unit='class',
        measurements=[slow, fast],
        machine={'threads': '1'},
        notes=['Note.'],
    )
    return Report(**{**settings, **changes})


def test_speed_up_is_taken_round_by_round():
    assert report().speed_ups() == [[1.0, 1.0], [20.0, 30.0]]
    rows = report().rows()
    assert rows[0][1:] == ('4 s', '2 s to 6 s', '0.25', '3 MB', 'baseline')
    assert rows[1][1:3] == ('150 ms', '100 ms to 200 ms')
    assert rows[1][5] == '25x (20 to 30)'


def test_steps_of_a_process_show_their_share():
    rows = report(has_baseline=False).rows()
    assert [row[-1] for row in rows] == ['72.7%', '27.3%']
    assert 'share' in report(has_baseline=False).header()


def test_page_gets_the_new_table_and_keeps_the_rest(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        'before\n<!-- benchmark: soft_nms -->\nold\n<!-- end of soft_nms -->\nx'
    )
    for _ in range(2):
        update_page(page, report())
    text = page.read_text()
    assert text.startswith('before\n') and text.endswith('\nx')
    assert 'old' not in text and text.count('| fast | 150 ms |') == 1
    with pytest.raises(ValueError, match='0 sections from <!-- benchmark: data -->'):
        update_page(page, report(name='data'))
    with pytest.raises(ValueError, match='does not exist'):
        update_page(tmp_path / 'missing.md', report())
    assert [path.name for path in tmp_path.iterdir()] == ['page.md']


def test_json_holds_every_run(tmp_path):
    write_json(tmp_path / 'new' / 'out.json', [report()])
    (content,) = json.loads((tmp_path / 'new' / 'out.json').read_text())
    fast = content['measurements'][1]
    assert fast['seconds'] == [1.0, 2.0] and fast['speed_up'] == 25.0
    assert fast['median_seconds_per_item'] == pytest.approx(0.15)


@pytest.mark.parametrize('name', ['inference', 'train'])
def test_networks_of_any_size(name, repo_root):
    config = str(repo_root / TINY)
    result = run_benchmark(name, configs=[config], baseline=config, **SMALL)
    plain, ours = result.measurements
    assert plain.name.startswith('plain ') and ours.items == plain.items
    assert plain.items == (128 if name == 'inference' else 1)
    assert 'compiled operators' in result.machine


def test_end_to_end_on_a_file(tmp_path, repo_root):
    frames = np.random.default_rng(0).integers(0, 256, (200, 64, 64, 3), np.uint8)
    write_video(tmp_path / 'short.mp4', frames, fps=10, size=64)
    result = run_benchmark(
        'end_to_end',
        configs=[str(repo_root / TINY)],
        video=str(tmp_path / 'short.mp4'),
        **SMALL,
    )
    assert [stage.name for stage in result.measurements] == list(STAGES)
    assert all(stage.seconds[0] > 0 for stage in result.measurements)
    assert result.measurements[0].items == 20.0  # seconds of video
    with pytest.raises(ValueError, match='missing.mp4 does not exist'):
        run_benchmark('end_to_end', video=str(tmp_path / 'missing.mp4'))


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(name='speed'), "'speed': choose from"),
        (dict(name='end_to_end'), 'needs a video file'),
        (dict(name='train', configs=['none.py']), 'none.py does not exist'),
        pytest.param(
            dict(name='train', device='cuda'),
            'sees no GPU',
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason='has a GPU'),
        ),
    ],
)
def test_bad_settings_are_named(settings, message, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    with pytest.raises(ValueError, match=message):
        run_benchmark(**settings)


def test_the_tool(tmp_path, repo_root, child_env):
    tool = repo_root / 'tools' / 'analysis_tools' / 'benchmark.py'
    out = tmp_path / 'out.json'
    command = [sys.executable, tool, 'boundary_pooling', 'data', '--gigabytes', '0.1']
    result = subprocess.run(
        [*command, '--runs', '1', '--warmup', '0', '--json', out],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert 'vectorised' in result.stdout and 'whole' in result.stdout
    assert [entry['name'] for entry in json.loads(out.read_text())] == [
        'boundary_pooling',
        'data',
    ]
