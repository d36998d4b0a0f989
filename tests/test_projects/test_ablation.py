"""Grids become configs and commands; results become means, errors and differences."""

from __future__ import annotations

import json
import math
import shlex
import subprocess

import pandas as pd
import pytest
import yaml
from mmengine.config import Config
from summarize import as_markdown, plot, read_results, spread, summarize
from write_configs import Run, build_config, list_runs, read_grid, write_configs

from mmtal_mts.utils.errors import UserError

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'


@pytest.fixture
def grid_of(tmp_path, repo_root, monkeypatch):
    """A grid of two variants, two seeds and two folds, with changes."""
    monkeypatch.chdir(tmp_path)
    for fold in range(2):
        (tmp_path / f'annotations_fold{fold}.json').write_text('{}')
    grid = dict(name='Toy', work_dir='work', config=str(repo_root / CONFIG))
    grid.update(folds='annotations_fold*.json', seeds=[0, 1])
    grid['cfg_options'] = {'train_cfg.max_epochs': 2}
    grid['variants'] = {'baseline': {'model.neck.stt': None}, '+ STT': None}

    def read(**changes):
        text = yaml.safe_dump({**grid, **changes}, sort_keys=False)
        (tmp_path / 'grid.yml').write_text(text)
        return read_grid(tmp_path / 'grid.yml')

    return read


def test_spread():
    mean, error, half_width = spread([1.0, 2.0, 6.0])
    # Squares of -2, -1, 3 are 14 together; over n - 1, over n.
    assert mean == 3 and error == pytest.approx(math.sqrt(7 / 3))
    # 4.3027: Student's t for 95 % and two degrees of freedom, from a printed table.
    assert half_width == pytest.approx(4.3027 * math.sqrt(7 / 3), rel=1e-4)
    mean, *unknown = spread([5.0, math.nan])
    assert mean == 5 and all(map(math.isnan, unknown))


def test_differences_are_paired_by_seed_and_a_seed_needs_all_folds():
    def compare():
        rows = [(*key, value) for key, value in both.items()]
        table = pd.DataFrame(rows, columns=['variant', 'seed', 'fold', 'mAP'])
        return summarize(table, ['x', 'y'], 2, 'mAP')

    first = {(0, 'a'): 0.1, (0, 'b'): 0.9, (1, 'a'): 0.2, (1, 'b'): 0.8}
    # Seed 0 gains 5 % on both folds, seed 1 gains 5 and loses 15.
    gains = {(0, 'a'): 0.05, (0, 'b'): 0.05, (1, 'a'): 0.05, (1, 'b'): -0.15}
    both = {('x', *key): value for key, value in first.items()}
    both |= {('y', *key): value + gains[key] for key, value in first.items()}
    table = compare()
    assert table.loc['x', 'mean'] == pytest.approx(50)
    found = table.loc['y']
    assert found['difference'] == pytest.approx(0)
    # Differences of 5 and -5: deviation sqrt(50), standard error 5; t(1) = 12.706.
    assert found['difference_error'] == pytest.approx(5)
    assert found['interval'] == pytest.approx(63.53, rel=1e-3)
    assert found['better'] == '3/4' and found['runs'] == 4
    del both['y', 1, 'b']
    table = compare()
    assert math.isnan(table.loc['y', 'error']) and table.loc['y', 'better'] == '3/3'
    assert '| y | 3 | 55.0 |' in as_markdown(table)


def test_configs_have_the_settings_of_variant_and_fold(grid_of):
    grid = grid_of()
    write_configs(grid)
    runs = list_runs(grid)
    assert len(runs) == 8 and [run.variant for run in runs[:2]] == ['baseline', '+ STT']
    cfg = Config.fromfile(runs[0].config)
    assert cfg.model.neck.stt is None and cfg.train_cfg.max_epochs == 2
    assert cfg.test_dataloader.dataset.ann_file == 'annotations_fold0.json'
    assert cfg.test_evaluator.ann_file == 'annotations_fold0.json'
    assert Config.fromfile(runs[1].config).model.neck.stt is not None
    assert '--seed=0' in runs[0].line() and 'STT/' in runs[1].line()
    write_configs(grid)  # the same again
    with pytest.raises(UserError, match='other settings'):
        write_configs(grid_of(cfg_options={'train_cfg.max_epochs': 3}))


def test_names_of_files_are_no_shell_code(tmp_path, monkeypatch):
    run = Run('x', None, 3, tmp_path / "a b; $(touch pwned) 'c'")
    train, test = run.commands()
    line = run.line().split(' && ')
    assert shlex.split(line[0]) == train and str(run.folder) in train
    assert shlex.split(line[1])[:-1] == test
    run.folder.mkdir(parents=True)
    (run.folder / 'last_checkpoint').write_text('epoch 2.pth')
    calls = []
    monkeypatch.setattr(subprocess, 'call', lambda argv: calls.append(argv) or 0)
    assert run.execute() and calls == [train, [*test, 'epoch 2.pth']]
    monkeypatch.setattr(subprocess, 'call', lambda argv: 1)
    assert not run.execute()


def test_finished_runs_are_read(grid_of, tmp_path):
    grid = grid_of()
    with pytest.raises(UserError, match='no finished run'):
        read_results(grid)
    for number, run in enumerate(list_runs(grid)):
        path = run.folder / 'test' / '2026' / '2026.json'
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({'mAP': number / 10}))
        assert run.result is not None
    table = summarize(read_results(grid), list(grid.variants), 2, 'mAP')
    # Runs 0, 2 and 4, 6 are the baseline's; those of the other are 0.1 above.
    assert table['mean'].tolist() == pytest.approx([30, 40])
    assert table.loc['+ STT', 'difference_error'] == pytest.approx(0, abs=1e-9)
    with pytest.raises(UserError, match='--metric x: the runs have mAP$'):
        summarize(read_results(grid), list(grid.variants), 2, 'x')
    plot(table, grid.name, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 0


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'wrong': 1}, "unexpected keyword argument 'wrong'"),
        ({'seeds': [0, -1]}, r'seeds=\[0, -1\]'),
        ({'folds': 'none*.json'}, 'there is no such file'),
        ({'variants': {'+ a': {}, 'a': {}}}, 'the same folder'),
        ({'variants': {'a': {}, 'b': {}}}, "'a' and 'b' have the same settings"),
        ({'variants': {'a': {'model.nek.stt': 1}}}, "the config has no 'nek' there"),
        ({'variants': {'a': {'epochs': 1}}}, "the config has no 'epochs' there"),
    ],
)
def test_mistakes_in_a_grid_are_named(grid_of, changes, message):
    with pytest.raises(UserError, match=message):
        write_configs(grid_of(**changes))


def test_example_grids_fit_their_configs(repo_root, monkeypatch, grid_of):
    monkeypatch.chdir(repo_root)
    paths = sorted((repo_root / 'projects/ablation/grids').glob('*.yml'))
    assert paths
    for path in paths:
        grid = yaml.safe_load(path.read_text())
        grid = grid_of(**{'cfg_options': {}, **grid, 'folds': [None]})
        for variant in grid.variants:
            build_config(grid, variant, None)
