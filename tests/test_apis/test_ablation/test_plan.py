"""Plans, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmtal_mts.apis.ablation import prepare_runs, read_plan
from mmtal_mts.apis.config import load_config
from mmtal_mts.utils import UserError

ROOT = Path(__file__).resolve().parents[3]


def test_runs_are_all_combinations_with_complete_configs(project):
    plan = read_plan(project.write_plan(cfg_options={'train_cfg.max_epochs': 3}))
    runs = prepare_runs(plan)
    assert [(r.seed, r.fold.name, r.variant.name) for r in runs] == [
        (seed, fold, variant)
        for seed in (0, 1)
        for fold in ('fold0', 'fold1')
        for variant in ('baseline', 'STT')
    ]
    assert len({run.folder for run in runs}) == 8
    run = runs[2]
    path = project.folder / 'run.py'
    path.write_text(run.config_text)
    cfg = load_config(path)
    assert run.max_progress == cfg.train_cfg.max_epochs == 3 and run.unit == 'epoch'
    assert cfg.model.neck.stt is None and cfg.model.coarse_head.with_context is False
    assert cfg.train_dataloader.dataset.ann_file == 'annotations_fold1.json'
    assert cfg.test_dataloader.dataset.data_root == str(project.folder / 'data')
    truth = str(project.folder / 'data' / 'annotations_fold1.json')
    assert cfg.test_evaluator.ann_file == cfg.val_evaluator.ann_file == truth
    # Types survive being written: the pipeline needs the tuple.
    assert cfg.train_pipeline[1]['scale'] == (54, 54)


def test_later_options_win(project):
    plan = read_plan(
        project.write_plan(
            variants=[{'name': 'a', 'cfg_options': {'train_cfg.max_epochs': 7}}],
            folds=[
                {'name': 'x', 'cfg_options': {'train_cfg.max_epochs': 8}},
                {'name': 'y'},
            ],
        )
    )
    assert [run.max_progress for run in prepare_runs(plan)] == [8, 7, 8, 7]


def test_iterations_are_counted_where_the_config_does(project):
    options = {'train_cfg': {'_delete_': True, 'type': 'IterBasedTrainLoop'}}
    options['train_cfg']['max_iters'] = 50
    plan = read_plan(project.write_plan(cfg_options=options))
    run = prepare_runs(plan)[0]
    assert (run.max_progress, run.unit) == (50, 'iteration')


def test_defaults(project):
    path = project.write_plan(seeds=None, folds=None, name=None)
    plan = read_plan(path)
    assert plan.name == 'plan' and plan.seeds == (0,) and not plan.resume
    assert [fold.name for fold in plan.folds] == ['all']
    assert prepare_runs(plan)[0].folder.name == 'all_seed0'


VARIANT = {'name': 'a'}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'seed': [1]}, "unknown field 'seed'. Did you mean 'seeds'"),
        ({'variants': [{'nam': 'a'}]}, r"variants\[0\]: unknown field 'nam'"),
        ({'variants': [VARIANT, {'name': 'A'}]}, "variants: 'A' is there twice"),
        ({'variants': [VARIANT, {'name': 'b'}]}, "'a' and 'b' have the same settings"),
        ({'variants': []}, 'variants is empty'),
        ({'variants': {}}, 'variants={}: expected a list'),
        ({'variants': ['a']}, r"variants\[0\] is 'a': expected an object"),
        ({'variants': [{'name': 'a/b'}]}, "name='a/b': use letters"),
        ({'variants': [{'name': '..'}]}, r"name='\.\.': use letters"),
        ({'variants': [{'name': 'a', 'value': 1}]}, "'value' is for curves"),
        ({'variants': [VARIANT], 'axis': 'x'}, "'value' is missing"),
        ({'variants': [dict(VARIANT, value=True)], 'axis': 'x'}, 'value=True'),
        ({'config': None}, "'config' is missing"),
        ({'config': 'none.py'}, 'config none.py does not exist'),
        ({'work_dir': None}, "'work_dir' is missing"),
        ({'seeds': [0, 0]}, 'seeds: 0 is there twice'),
        ({'seeds': [0.5]}, 'expected whole numbers'),
        ({'resume': 1}, 'resume=1: expected true or false'),
        ({'folds': {'timelines': 'nowhere'}}, 'no annotations_fold0.json in nowhere'),
        ({'folds': [{'name': 'a', 'ann_file': 'no.json'}]}, 'no such annotation file'),
        ({'folds': [{'name': 'a', 'data_root': 'x'}]}, "needs 'ann_file'"),
        ({'folds': 3}, 'folds=3: expected an object'),
        ({'cfg_options': {'modle.neck': 1}}, "no 'modle' there. Did you mean 'model'"),
        ({'cfg_options': {'load_form': 1}}, "Did you mean 'load_from'"),
        ({'cfg_options': {'model.neck.stt.a.b': 1}}, "has no 'a' there"),
        ({'cfg_options': {'load_from.a': 1}}, "load_from is None, it has no 'a'"),
        ({'cfg_options': {'train_pipeline.9.scale': 1}}, "'9' is no position"),
        ({'cfg_options': {'test_evaluator.type': 'X'}}, 'is not one TALMetric'),
    ],
)
def test_bad_plans_are_told_apart(project, changes, message):
    with pytest.raises(UserError, match=message):
        prepare_runs(read_plan(project.write_plan(**changes)))


def test_only_some_folds(project):
    data = str(project.folder / 'data')
    plan = read_plan(project.write_plan(folds={'timelines': data, 'only': [1]}))
    assert [fold.name for fold in plan.folds] == ['fold1']
    with pytest.raises(UserError, match='has the folds 0, 1'):
        read_plan(project.write_plan(folds={'timelines': data, 'only': [2]}))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'cannot be read'),
        ('[]', 'expected an object'),
        ('{"name": "a", "name": "b"}', "'name' is there twice"),
    ],
)
def test_bad_json_is_named(tmp_path, text, message):
    path = tmp_path / 'bad.json'
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_plan(path)
    assert 'bad.json' in str(caught.value)
    with pytest.raises(UserError, match=r'none\.json cannot be read'):
        read_plan(tmp_path / 'none.json')


def test_results_of_another_config_are_kept(project):
    plan = read_plan(project.write_plan())
    run = prepare_runs(plan)[0]
    run.folder.mkdir(parents=True)
    run.config.write_text(run.config_text)
    prepare_runs(plan)
    changed = read_plan(project.write_plan(cfg_options={'train_cfg.max_epochs': 9}))
    with pytest.raises(UserError, match='was run with another config'):
        prepare_runs(changed)


PLANS = sorted((ROOT / 'configs/tal_mts/plans').glob('*.json'))


def test_there_are_plans():
    assert {path.stem.split('_')[0] for path in PLANS} == {
        'folds',
        'fsa',
        'modules',
        'order',
        'patches',
        'rfp',
    }


@pytest.mark.parametrize('path', PLANS, ids=lambda path: path.stem)
def test_shipped_plans_fit_their_configs(path, tmp_path, monkeypatch):
    content = json.loads(path.read_text())
    root = content['folds']['timelines']
    (tmp_path / root).mkdir(parents=True)
    for fold in range(3):
        (tmp_path / root / f'annotations_fold{fold}.json').write_text('{}')
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'plan.json').write_text(path.read_text())
    monkeypatch.chdir(tmp_path)
    plan = read_plan('plan.json')
    runs = prepare_runs(plan)
    assert len(runs) == len(plan.variants) * len(plan.seeds) * len(plan.folds)
    assert {run.max_progress for run in runs} == {runs[0].max_progress}
    has = {
        run.variant.name: ('SpatialTemporal' in run.config_text)
        + 2 * ('FrameSelfAttention' in run.config_text)
        for run in runs
    }
    if path.stem.startswith('folds'):
        assert list(has)[0] == 'TAL-MTS' and set(has.values()) == {3}
        starts = [
            Config.fromstring(run.config_text, '.py').model.backbone.init_cfg
            for run in runs[: len(plan.variants)]
        ]
        assert [bool(start) for start in starts] == [True, False][: len(starts)]
    elif path.stem.startswith('rfp'):
        assert set(has.values()) == {0}
        neck = {
            run.variant.name: Config.fromstring(run.config_text, '.py').model.neck
            for run in runs
        }
        assert [(n.rfp.get('num_merges'), n.rfp.cumulative) for n in neck.values()] == [
            (1, False),
            (None, False),
            (2, True),
            (None, True),
        ]
    elif path.stem.startswith('fsa'):
        assert list(has.items()) == [('+ RFP + STT', 1), ('+ RFP + STT + FSA', 3)]
    elif path.stem.startswith('order'):
        assert list(has.items()) == [('AFSD baseline', 0), ('+ STT', 1)]
    elif plan.axis is None:
        assert list(has.items()) == [
            ('AFSD baseline', 0),
            ('+ RFP', 0),
            ('+ STT', 1),
            ('+ RFP + STT', 1),
            ('+ RFP + STT + FSA', 3),
        ]
