"""What modules contribute: measures with known values, and replacements as promised."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from types import SimpleNamespace

import module_contribution as tool
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.logging import MMLogger
from tiny_models import CHANNELS, SIZE, T, reduced
from torch import nn
from torch.testing import assert_close
from toy_runner import ROOT

from mmtal_mts import apis
from mmtal_mts.models.necks import RefinedFeaturePyramid
from mmtal_mts.utils import UserError, run_tool

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
# Windows of 32 frames at a stride of 16: two of the first and the last video.
LENGTHS = dict(a=48, b=32, c=48)
WITHOUT_RFP = {'model.neck.rfp': None}
UNIFORM = torch.full((2, 3, 4, 4), 0.25)
ONE_HOT = torch.eye(4).expand(2, 3, 4, 4)
OF_TWO = torch.tensor([0.5, 0.5, 0.0, 0.0]).expand(2, 3, 4, 4)


def test_entropy_of_attention_with_known_values():
    clips = torch.cat([UNIFORM, ONE_HOT, OF_TWO])  # three of two frames
    assert_close(tool.relative_entropy(clips, 3), torch.tensor([1, 0, 0.5]))
    halves = torch.cat([UNIFORM[:1], ONE_HOT[:1]])
    assert_close(tool.relative_entropy(halves, 1), torch.tensor([0.5]))
    assert tool.relative_entropy(torch.ones(2, 3, 1, 1), 2).isnan().all()


def test_energy_over_time_with_known_values():
    constant, alternating = torch.ones(4), torch.tensor([1.0, -1, 1, -1])
    both = torch.stack([constant, alternating])
    clips = torch.stack([constant, alternating, 3 + alternating])[:, None]
    assert_close(tool.energy_over_time([clips]), torch.tensor([0, 1, 0.1]))
    assert_close(tool.energy_over_time([both[None]]), torch.tensor([0.5]))
    # Each level counts the same, however strong; levels of zeros do not count.
    levels = [9 * both[None], torch.ones(1, 2, 2), torch.zeros(1, 2, 1)]
    assert_close(tool.energy_over_time(levels), torch.tensor([0.25]))
    assert tool.energy_over_time([torch.zeros(1, 2, 4)]).isnan().all()


class Attending(nn.Identity):
    """A layer with weights that a test knows."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def attention_weights(self, tokens):
        return self.weights


def test_entropy_is_the_mean_over_layers_that_have_a_choice():
    single = Attending(torch.ones(2, 3, 1, 1))
    module = nn.Sequential(Attending(UNIFORM), nn.Sequential(Attending(OF_TWO), single))
    probe = tool.Probe(module)
    module(torch.ones(2, 5, 4))  # two clips
    assert_close(probe.measure(), torch.tensor([[0.75, 0.75], [0, 0]]))
    for module in (single, nn.Identity()):
        probe = tool.Probe(module)
        module(torch.ones(2, 5, 4))
        assert probe.measure()[0].isnan().all()


def test_of_a_sum_what_it_adds_is_measured_and_replaced():
    rfp = RefinedFeaturePyramid()
    probe = tool.Probe(rfp, is_sum=True)
    levels = torch.tensor([[[1.0, 2, 3, 4]]]), torch.tensor([[[10.0, 30]]])
    assert_close(rfp(levels), (torch.tensor([[[11.0, 12, 33, 34]]]), levels[1]))
    assert_close(probe.gives, [torch.tensor([[[10.0, 10, 30, 30]]]), 0 * levels[1]])
    # 10 and 30: variance 100, mean square 500. The coarsest level received nothing.
    assert_close(probe.measure()[1], torch.tensor([0.2]))
    probe.instead = [0 * levels[0], 0 * levels[1]]
    assert_close(rfp(levels), levels)
    assert_close(probe.gives[0].max(), torch.tensor(30.0))


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Folder with three videos as arrays, config and weights of a tiny model."""
    folder = tmp_path_factory.mktemp('contribution')
    generator = np.random.default_rng(0)
    database = {}
    for name, frames in LENGTHS.items():
        brightness = generator.integers(0, 255, (frames, 2, 2, 3), dtype=np.uint8)
        np.save(folder / f'{name}.npy', brightness.repeat(16, 1).repeat(16, 2))
        action = dict(segment=[0.2, frames / 10 - 0.2], label='circle')
        database[name] = dict(duration=frames / 10, subset='test', annotations=[action])
    (folder / 'annotations.json').write_text(json.dumps(dict(database=database)))
    cfg = apis.load_config(ROOT / CONFIG)
    cfg.model = reduced(cfg.model)
    # Without parameters, so that a model without it can take the same weights.
    cfg.model.neck.rfp = dict(type='RefinedFeaturePyramid')
    loader = cfg.test_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader.dataset.update(data_root=f'{folder}/', data_prefix=dict(video=''))
    loader.dataset.update(source_type='npy', clip_len=T, window_stride=T // 2)
    loader.dataset.pipeline[0].scale = (SIZE, SIZE)
    loader.dataset.pipeline[1].crop_size = SIZE
    cfg.test_evaluator.update(ann_file=f'{folder}/annotations.json')
    cfg.test_evaluator.tiou_thresholds = (0.1, 0.3)
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights, meta={}), folder / 'weights.pth')
    files = str(folder / 'config.py'), str(folder / 'weights.pth')
    return SimpleNamespace(folder=folder, files=files)


@pytest.fixture
def seen(monkeypatch):
    """Of each call the pyramid before and after RFP, the context, and what FSA gave."""
    calls, init_model = [], apis.init_model

    def watched(*args):
        model = init_model(*args)
        levels = []
        model.neck.pyramid.register_forward_hook(lambda *x: levels.append([x[2]]))
        model.coarse_head.register_forward_pre_hook(
            lambda _, inputs: levels[-1].extend(inputs[0][:2])
        )
        # FSA comes last where it is concatenated.
        model.refine_head.frame_fuse.register_forward_pre_hook(
            lambda _, inputs: calls.append([*levels[-1], [inputs[0][:, -CHANNELS:]]])
        )
        return model

    monkeypatch.setattr(apis, 'init_model', watched)
    return calls


def by_run(calls):
    """Of each run the four kinds of levels over all clips, without the first call."""
    runs = []
    for run in (calls[1:][i::7] for i in range(7)):
        kinds = zip(*run, strict=True)
        runs.append([list(map(torch.cat, zip(*x, strict=True))) for x in kinds])
    return runs


def test_every_replacement_reaches_the_heads_and_nothing_else(project, seen):
    result = tool.measure(*project.files, None)
    (raw, refined, context, frames), *runs = by_run(seen)
    assert len(raw[0]) == 5
    added = [x - y for x, y in zip(refined, raw, strict=True)]
    assert added[0].abs().max() > 0.01
    others = [4, 4, 1, 2, 2]  # a, a, b, c, c: the last one of the video before
    zeros, foreign = (
        [torch.zeros_like(x) for x in context],
        [x[others] for x in context],
    )
    sums = [x + y[others] for x, y in zip(raw, added, strict=True)]
    expected = [
        [raw, raw, context, frames],
        [raw, sums, context, frames],
        [raw, refined, zeros, frames],
        [raw, refined, foreign, frames],
        [raw, refined, context, [torch.zeros_like(frames[0])]],
        [raw, refined, context, [frames[0][others]]],
    ]
    assert_close(runs, expected)
    assert [*result] == ['as_released', 'modules']
    assert [*result['modules']] == ['rfp', 'stt', 'fsa']
    for name, values in result['modules'].items():
        assert [*values] == ['zero', 'other_clip', 'entropy', 'energy_over_time']
        assert (values['entropy'] is None) == (name == 'rfp')
        assert 0 < values['energy_over_time'] < 1
    assert 0.5 < result['modules']['stt']['entropy'] < 1


def test_the_map_is_that_of_tools_test(project, tmp_path, monkeypatch):
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    result = tool.measure(*project.files, None)
    expected = []
    for options in (None, WITHOUT_RFP):
        cfg = apis.load_config(project.files[0], options)
        files = dict(checkpoint=project.files[1], work_dir=str(tmp_path))
        metrics = apis.test(apis.prepare_test_config(cfg, **files))
        expected.append(pytest.approx(100 * metrics['mAP']))
    assert [result['as_released'], result['modules']['rfp']['zero']] == expected
    assert result['as_released'] > 0


def test_windows_of_a_single_video_take_turns(project, seen):
    options = {'test_dataloader.dataset.indices': [0, 1]}
    tool.measure(*project.files, options)
    (_, _, context, _), *runs = by_run(seen)
    assert_close(runs[3][2], [x[[1, 0]] for x in context])


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line; gives its exit code, and both outputs."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())

    def _run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['module_contribution.py', *arguments])
        return run_tool(tool.main), *capsys.readouterr()

    return _run


def test_prints_nothing_but_json_or_a_table(project, run):
    options = '--cfg-options', 'model.neck.rfp=None'
    code, out, errors = run(*project.files, '--json', *options)
    assert code == 0, errors
    result = json.loads(out)
    assert [*result['modules']] == ['stt', 'fsa']
    assert 'batches' in errors
    code, table, _ = run(*project.files)
    assert code == 0 and 'mAP in %, ' in table and 'as released' in table
    rows = [line.split('│')[1:-1] for line in table.splitlines() if '│' in line]
    assert [row[0].strip() for row in rows] == ['rfp', 'stt', 'fsa']
    # Without what RFP adds the model is the one without RFP.
    assert rows[0][1].strip() == f'{result["as_released"]:.3g}'
    assert rows[0][3].strip() == '-' and float(rows[1][3]) > 0.5


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('nope', "model 'nope' is unknown"),
        ('tal-mts_i3d_1xb1-256x96x96-25e_thumos14-rgb', 'no weights of tal-mts_i3d'),
        ('CONFIG no.pth', 'checkpoint no.pth does not exist'),
        ('CONFIG WEIGHTS --cfg-options test_evaluator=None', 'has no test_evaluator'),
        (
            'CONFIG WEIGHTS --cfg-options test_dataloader.dataset.indices=1',
            'config.py: a test set of one window has no other clip',
        ),
    ],
)
def test_bad_input_is_one_message(project, run, arguments, message):
    files = dict(zip(('CONFIG', 'WEIGHTS'), project.files, strict=True))
    code, out, errors = run(*(files.get(word, word) for word in arguments.split()))
    assert (code, out) == (2, '') and message in errors


def test_a_model_without_any_of_the_modules_is_refused(project, tmp_path):
    options = {**WITHOUT_RFP, 'model.neck.stt': None, 'model.refine_head.fsa': None}
    cfg = apis.load_config(project.files[0], options)
    weights = str(tmp_path / 'baseline.pth')
    torch.save(MODELS.build(cfg.model).state_dict(), weights)
    with pytest.raises(UserError, match='config.py: its TALMTS has none of neck.rfp, '):
        tool.measure(project.files[0], weights, options)
