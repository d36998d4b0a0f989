"""Generates data, trains, tests and draws; started by quickstart.sh.

Each step is skipped if its result is there. Training that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

try:
    from mmengine.config import Config

    from mmtal_mts.apis import (
        load_config,
        prepare_test_config,
        prepare_train_config,
        test,
        train,
    )
    from mmtal_mts.apis.timeline import plot_timelines
    from mmtal_mts.datasets.synthetic import generate_dataset
    from mmtal_mts.utils import UserError, latest_checkpoint, run_tool
    from mmtal_mts.utils.io import write_json
except ImportError as error:
    sys.exit(f'error: {error}')

CONFIG = Path('configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py')
DATA = Path('data/synthetic')
WORK_DIR = Path('work_dirs/quickstart')
STATE = WORK_DIR / 'state.json'
SUMMARY = WORK_DIR / 'summary.json'
DETECTIONS = WORK_DIR / 'detections.json'
TIMELINE = WORK_DIR / 'timeline.png'
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
NUM_DRAWN = 4


def train_or_resume(cfg: Config) -> tuple[str, float]:
    """Trains, resumes a training that was interrupted, or keeps a finished one.

    Returns:
        The last checkpoint, and the seconds of training, interruptions left out.
    """
    version = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    state = read_json(STATE) or {}
    if state.get('config') != version:
        if state:
            print('The config has changed since the last run: training starts anew.')
            forget_training()
        state = {'config': version, 'seconds': 0.0, 'started': None, 'done': False}
    checkpoint = last_checkpoint()
    if state['done'] and checkpoint is not None:
        print(f'Training is done already: {checkpoint}')
        return checkpoint, state['seconds']

    if checkpoint is None:
        state['seconds'] = 0.0
    elif state['started'] is not None:
        # Killed before: what counts is the time up to its last checkpoint.
        written = os.path.getmtime(checkpoint)
        state['seconds'] += max(0.0, written - state['started'])
    state['started'] = time.time()
    write_json(STATE, state)
    # The test comes right after, so validation would only repeat it.
    settings = dict(work_dir=str(WORK_DIR), resume='auto', seed=0, no_validate=True)
    train(prepare_train_config(cfg, **settings))
    state['seconds'] += time.time() - state['started']
    state.update(started=None, done=True)
    write_json(STATE, state)
    return last_checkpoint(), state['seconds']


def last_checkpoint() -> str | None:
    """Path of the last checkpoint from the root of the repository, if there is one."""
    path = latest_checkpoint(WORK_DIR)
    return path and os.path.relpath(path)


def forget_training() -> None:
    """Removes the results of a former training, but not the log of the installation."""
    for path in WORK_DIR.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != 'install.log':
            path.unlink()


def evaluate(checkpoint: str, seconds: float) -> dict:
    """Tests and draws; returns the summary, as written to ``summary.json``."""
    settings = dict(
        checkpoint=checkpoint,
        work_dir=str(WORK_DIR / 'test'),
        cfg_options={'test_evaluator.dump_path': str(DETECTIONS)},
    )
    metrics = test(prepare_test_config(load_config(CONFIG), **settings))
    annotations = DATA / 'annotations.json'
    files = map(str, (annotations, DETECTIONS, TIMELINE))
    plot_timelines(*files, video_dir=str(DATA / 'videos'), num_videos=NUM_DRAWN)
    mean_ap = {f'{t:.1f}': float(metrics[f'mAP@{t:.2f}']) for t in THRESHOLDS}
    mean_ap['average'] = float(metrics['mAP'])
    videos = read_json(annotations)['database'].values()
    summary = {
        'mAP': mean_ap,
        'num_test_videos': sum(video['subset'] == 'test' for video in videos),
        'train_seconds': round(seconds, 1),
        'timeline': str(TIMELINE),
        'checkpoint': checkpoint,
    }
    write_json(SUMMARY, summary)
    return summary


def print_summary(summary: dict) -> None:
    """Prints the table at the end."""
    names = [*(f'@{t}' for t in THRESHOLDS), 'average']
    print(f'\nmAP on {summary["num_test_videos"]} held-out videos, by tIoU threshold')
    print(' '.join(f'{name:>8}' for name in names))
    print(' '.join(f'{100 * value:7.1f}%' for value in summary['mAP'].values()))
    print(f'\ntraining    {summary["train_seconds"]:.0f} s')
    print(f'checkpoint  {summary["checkpoint"]}')
    print(f'timeline    {summary["timeline"]}')
    print(f'summary     {SUMMARY}')


def read_json(path: Path) -> dict | None:
    """Reads a JSON file; None if it is not there or not whole."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def main() -> None:
    """Runs all steps that have not been done."""
    parser = argparse.ArgumentParser(description=__doc__)
    purpose = 'delete data and results, and start over'
    parser.add_argument('--fresh', action='store_true', help=purpose)
    if parser.parse_args().fresh:
        shutil.rmtree(DATA, ignore_errors=True)
        if WORK_DIR.is_dir():
            forget_training()
    cfg = load_config(CONFIG)
    try:
        generate_dataset(DATA, workers=os.cpu_count() or 1)
    except FileExistsError as error:
        raise UserError(
            f'{error} Or start over: bash tools/quickstart.sh --fresh'
        ) from error
    checkpoint, seconds = train_or_resume(cfg)
    summary = read_json(SUMMARY)
    # The summary is written last, so with it everything else is there.
    if summary is None or summary['checkpoint'] != checkpoint:
        summary = evaluate(checkpoint, seconds)
    print_summary(summary)


if __name__ == '__main__':
    sys.exit(run_tool(main))
