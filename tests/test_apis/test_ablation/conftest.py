"""A plan whose trainings take a moment: tools that only count stand in for ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
CLASSES = ('move_left', 'move_right', 'circle', 'shake', 'grow', 'approach_leave')

# Both read the config that they are given, so what they write depends on it.
COMMON = """
import argparse, fcntl, json, os, sys, time, zipfile

parser = argparse.ArgumentParser()
parser.add_argument('config')
parser.add_argument('checkpoint', nargs='?')
parser.add_argument('--work-dir')
parser.add_argument('--seed', type=int)
parser.add_argument('--no-validate', action='store_true')
parser.add_argument('--resume', action='store_true')
args = parser.parse_args()
settings = {}
exec(open(args.config).read(), settings)
os.makedirs(args.work_dir, exist_ok=True)
"""
TRAIN = (
    COMMON
    + """
alone = open(args.work_dir + '/alone', 'a')
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit('two trainings in one folder')
if settings['model']['decoder']['score_thr'] > 0.9:
    sys.exit('score_thr is too high')
epochs = settings['train_cfg']['max_epochs']
files = [name for name in os.listdir(args.work_dir) if name.endswith('.pth')]
done = max([int(name[6:-4]) for name in files], default=0) if args.resume else 0
print('from epoch', done, flush=True)
scalars = args.work_dir + '/20260101_000000/vis_data'
os.makedirs(scalars, exist_ok=True)
for epoch in range(done + 1, epochs + 1):
    time.sleep(float(os.environ.get('EPOCH_S', '0.03')))
    with open(scalars + '/scalars.json', 'a') as file:
        file.write(json.dumps({'epoch': epoch}) + '\\n')
    path = f'{args.work_dir}/epoch_{epoch}.pth'
    with zipfile.ZipFile(path + '.part', 'w') as file:
        file.writestr('seed', str(args.seed))
    os.rename(path + '.part', path)
"""
)
TEST = (
    COMMON
    + """
with zipfile.ZipFile(args.checkpoint) as file:
    seed = int(file.read('seed'))
# How many of its eight segments are found.
found = 3 + seed + 2 * settings['model']['coarse_head']['with_context']
evaluator = settings['test_evaluator']
database = json.load(open(evaluator['ann_file']))['database']
segments = [
    (name, item) for name, video in sorted(database.items())
    if video['subset'] == evaluator['subset'] for item in video['annotations']
]
found += 'fold1' in evaluator['ann_file']
results = {}
for name, item in segments[:found]:
    results.setdefault(name, []).append(dict(item, score=0.5))
path = evaluator['dump_path']
with open(path + '.part', 'w') as file:
    json.dump({'results': results}, file)
os.rename(path + '.part', path)
"""
)


@dataclass
class Project:
    """A folder with data, a config and stand-ins for the tools."""

    folder: Path

    @property
    def tools(self) -> Path:
        return self.folder / 'tools'

    def write_plan(self, **changes: Any) -> Path:
        """Two variants, two seeds, two folds, unless told otherwise."""
        plan = {
            'name': 'Toy',
            'work_dir': str(self.folder / 'work'),
            'config': str(self.folder / 'config.py'),
            'cfg_options': {'train_cfg.max_epochs': 2},
            'variants': [
                {
                    'name': 'baseline',
                    'cfg_options': {
                        'model.coarse_head.with_context': False,
                        'model.neck.stt': None,
                    },
                },
                {'name': 'STT'},
            ],
            'seeds': [0, 1],
            'folds': {'timelines': str(self.folder / 'data')},
            **changes,
        }
        plan = {key: value for key, value in plan.items() if value is not None}
        path = self.folder / 'plan.json'
        path.write_text(json.dumps(plan))
        return path


@pytest.fixture
def project(tmp_path) -> Project:
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / 'train.py').write_text(TRAIN)
    (tmp_path / 'tools' / 'test.py').write_text(TEST)
    data = tmp_path / 'data'
    data.mkdir()
    for fold in range(2):
        database = {
            f'video{number}': {
                'subset': 'test' if number == fold else 'training',
                'duration': 80.0,
                'annotations': [
                    {
                        'segment': [10.0 * place, 10.0 * place + 5],
                        'label': CLASSES[0],
                    }
                    for place in range(8)
                ],
            }
            for number in range(2)
        }
        content = {'classes': CLASSES, 'database': database}
        (data / f'annotations_fold{fold}.json').write_text(json.dumps(content))
    (tmp_path / 'config.py').write_text(f'_base_ = {str(CONFIG)!r}\n')
    return Project(tmp_path)
