"""The benchmark: plain implementations do the same work; measuring, tables, pages."""

from __future__ import annotations

import json
import sys
from functools import partial

import benchmark
import benchmark_cases
import numpy as np
import pytest
import torch
from benchmark import measure, parse_args, run_benchmark, table_rows, update_page
from benchmark_cases import THRESHOLDS, Case, Section, build_model
from plain_baselines import evaluate_data_frames, make_plain, random_results
from toy_runner import ROOT

from mmtal_mts.evaluation.functional.mean_ap import mean_average_precision

TINY = f'{ROOT}/configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'


def options(name, **changes):
    """Settings of one short run of a tiny network."""
    args = parse_args([name])
    short = dict(runs=1, warmup=0, clip_len=128, crop_size=48)
    vars(args).update(short | dict(configs=[TINY], baseline=TINY) | changes)
    return args


def test_evaluation_with_data_frames():
    truth, found = random_results(2000, 9, 120, 4)
    ours = mean_average_precision(truth, found, 4, THRESHOLDS)
    assert 0.05 < ours.average() < 0.95
    slow = evaluate_data_frames(truth, found, 4, THRESHOLDS)
    np.testing.assert_allclose(slow, ours.ap, rtol=0, atol=1e-12)


def test_plain_network():
    model = build_model(TINY).eval()
    # Random statistics, so that a forgotten batch norm shows.
    for name, value in model.backbone.state_dict().items():
        if name.endswith(('running_mean', 'running_var')):
            value.uniform_(0.5, 1.5)
    frames = torch.rand(1, 3, 128, 48, 48) * 2 - 1
    with torch.inference_mode():
        expected, outputs = model(frames), make_plain(model)(frames)
    for key, value in expected.items():
        torch.testing.assert_close(outputs[key], value, rtol=1e-3, atol=1e-3)
    unit = model.train().backbone.Mixed_4f.b0
    assert not unit.bn.training and not unit.bn.weight.requires_grad
    assert unit.conv3d.weight.requires_grad


def test_data_set_is_large_for_readers_only(tmp_path):
    args = options('data', gigabytes=0.2, clip_len=96, crop_size=90)
    whole, ours = benchmark_cases.data(args, tmp_path, clips=2).cases
    files = list(tmp_path.glob('*.npy'))
    assert len(files) == 2 and sum(f.stat().st_size for f in files) > 1.9e8
    assert sum(f.stat().st_blocks * 512 for f in files) < 1e6
    assert whole.run().shape == (3, 96, 90, 90)
    assert ours.items == 2
    ours.run()


def test_cases_run_in_turn_and_warm_up_is_not_kept():
    calls = []
    cases = [Case(name, partial(calls.append, name)) for name in 'ab']
    measure(cases, options('data', runs=3, warmup=2))
    assert ''.join(calls) == 'aabb' * 5  # short runs are repeated
    calls.clear()
    measure(cases[:1], options('data', runs=1, warmup=0), repeats_short=False)
    assert calls == ['a'] and cases[0].seconds.pop() > 0
    assert [len(case.seconds) for case in cases] == [3, 3]


@pytest.mark.skipif(sys.platform != 'linux', reason='read from /proc')
def test_peak_memory_counts_what_is_gone_again():
    case = Case('array', lambda: np.ones(50_000_000, dtype=np.uint8).sum())
    measure([case], options('data'))
    if case.peak_bytes is None:
        pytest.skip('this system does not reset the high-water mark')
    assert 45e6 < case.peak_bytes < 150e6


def section():
    slow = Case('slow', None, 1, [2.0, 6.0], 3_000_000)
    fast = Case('fast', None, 10, [1.0, 2.0])
    return Section('Soft-NMS', 'class', [slow, fast], notes=['Note.'])


def test_speed_up_is_taken_round_by_round():
    header, slow, fast = table_rows(section())
    assert header[-1] == 'speed-up'
    assert slow[1:] == ('4 s', '2 s to 6 s', '0.25', '3 MB', 'baseline')
    assert fast[1:3] == ('150 ms', '100 ms to 200 ms')
    assert fast[5] == '25x (20 to 30)'
    stages = [Case('a', None, 2, [3.0, 5.0]), Case('b', None, 2, [1.0, 2.0])]
    stages = Section('Stages', 'second', stages, is_staged=True)
    assert [row[-1] for row in table_rows(stages)] == ['share', '72.7%', '27.3%']


def test_page_gets_the_new_table_and_keeps_the_rest(tmp_path):
    page = tmp_path / 'page.md'
    old = '<!-- benchmark: soft_nms -->\nold\n<!-- end of soft_nms -->'
    page.write_text(f'before\n{old}\nx')
    for _ in range(2):
        update_page(page, 'soft_nms', section())
    text = page.read_text()
    assert text.startswith('before\n') and text.endswith('\nx') and '- Note.' in text
    assert 'old' not in text and text.count('| fast | 150 ms |') == 1
    messages = {'page.md': '0 sections from <!-- benchmark: data -->'}
    for name, message in (messages | {'missing.md': 'does not exist'}).items():
        with pytest.raises(ValueError, match=message):
            update_page(tmp_path / name, 'data', section())
    assert [path.name for path in tmp_path.iterdir()] == ['page.md']


@pytest.mark.parametrize('name', ['inference', 'train'])
def test_networks_of_any_size(name):
    found = run_benchmark(name, options(name))
    slow, ours = found.cases
    assert slow.name.startswith('plain ') and ours.items == slow.items
    assert slow.items == (128 if name == 'inference' else 1)
    assert 're-implementation of our own' in found.notes[0]
    assert 'compiled operators: ' in found.notes[-1]


def test_end_to_end_on_a_file(tmp_path, make_video):
    video = make_video(tmp_path / 'short.mp4', 200, fps=10, size=(64, 64))
    args = options('end_to_end', video=video, warmup=1)
    stages = {stage.name: stage for stage in run_benchmark('end_to_end', args).cases}
    assert [*stages] == ['decode', 'preprocess', 'network', 'post-processing']
    assert all(len(s.seconds) == 1 and s.seconds[0] > 0 for s in stages.values())
    assert stages['decode'].items == 20.0  # seconds of video


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('end_to_end', {}, 'needs a video file'),
        ('end_to_end', dict(video='missing.mp4'), 'missing.mp4 does not exist'),
        ('data', dict(gigabytes=0), '--gigabytes 0'),
        ('train', dict(configs=['none.py']), 'none.py does not exist'),
        ('data', dict(runs=0), '--runs 0'),
        ('data', dict(warmup=-1), '--warmup -1'),
        ('train', dict(device='cuda'), 'sees no GPU'),
    ],
)
def test_bad_settings_are_named(name, settings, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=message):
        run_benchmark(name, options(name, **settings))


def test_the_tool(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'new' / 'out.json'
    command = 'benchmark.py boundary_pooling data --gigabytes 0.1 --warmup 0 --runs 2'
    monkeypatch.setattr(sys, 'argv', [*command.split(), '--json', str(out)])
    benchmark.main()
    text = capsys.readouterr().out
    assert 'vectorised' in text and 'whole' in text
    pooling, data = json.loads(out.read_text())
    assert (pooling['name'], data['name']) == ('boundary_pooling', 'data')
    whole, ours = (min(case['seconds']) / case['items'] for case in data['cases'])
    assert len(data['cases'][1]['seconds']) == 2 and ours < whole
