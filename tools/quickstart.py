"""Generates data, trains, tests and draws; started by quickstart.sh.

Each step is skipped if its result is there. Training that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
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
    from mmtal_mts.apis.writers import plot_timelines
    from mmtal_mts.datasets.synthetic import generate_dataset
    from mmtal_mts.utils import (
        UserError,
        latest_checkpoint,
        read_json,
        run_tool,
        write_json,
    )
    from mmtal_mts.utils.checkpoint import load_checkpoint
except ImportError as error:
    sys.exit(f'error: {error}')

CONFIG = Path('configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py')
DATA = Path('data/synthetic')
WORK_DIR = Path('work_dirs/quickstart')
SUMMARY = WORK_DIR / 'summary.json'
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
NUM_DRAWN = 4


def train_or_resume(cfg: Config) -> str:
    """Trains, resumes a training that was interrupted, or keeps a finished one.

    Returns:
        The last checkpoint.
    """
    trained = WORK_DIR / 'config.py'
    if trained.is_file() and trained.read_text(encoding='utf-8') != cfg.pretty_text:
        print('The config has changed since the last run: training starts again.')
        forget_training()
    WORK_DIR.mkdir(parents=True, exist_ok=True)
    trained.write_text(cfg.pretty_text, encoding='utf-8')
    last = f'epoch_{cfg.train_cfg.max_epochs}.pth'
    checkpoint = latest_checkpoint(WORK_DIR)
    if checkpoint is not None and Path(checkpoint).name == last:
        print(f'Training is done already: {os.path.relpath(checkpoint)}')
    else:
        SUMMARY.unlink(missing_ok=True)
        # The test comes right after, so validation would only repeat it.
        settings = dict(work_dir=str(WORK_DIR), resume='auto', seed=0, no_validate=True)
        train(prepare_train_config(cfg, **settings))
    return os.path.relpath(latest_checkpoint(WORK_DIR))


def forget_training() -> None:
    """Removes the results of a former training, but not the log of the installation."""
    for path in WORK_DIR.iterdir() if WORK_DIR.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != 'install.log':
            path.unlink()


def evaluate(checkpoint: str) -> dict:
    """Tests and draws; returns the summary, as written to ``summary.json``."""
    detections, timeline = WORK_DIR / 'detections.json', WORK_DIR / 'timeline.png'
    cfg = load_config(CONFIG, {'test_evaluator.dump_path': str(detections)})
    settings = dict(checkpoint=checkpoint, work_dir=str(WORK_DIR / 'test'))
    metrics = test(prepare_test_config(cfg, **settings))
    annotations = DATA / 'annotations.json'
    files = map(str, (annotations, detections, timeline))
    plot_timelines(*files, video_dir=str(DATA / 'videos'), num_videos=NUM_DRAWN)
    mean_ap = {f'{t:.1f}': float(metrics[f'mAP@{t:.2f}']) for t in THRESHOLDS}
    videos = read_json(annotations)['database'].values()
    # The checkpoint knows how long each iteration took, also before an interruption.
    times = load_checkpoint(checkpoint)['message_hub']['log_scalars']['train/time']
    summary = {
        'mAP': mean_ap | dict(average=float(metrics['mAP'])),
        'num_test_videos': sum(video['subset'] == 'test' for video in videos),
        'train_seconds': round(float(times.data[0].sum()), 1),
        'timeline': str(timeline),
        'checkpoint': checkpoint,
    }
    write_json(SUMMARY, summary)
    return summary


def main() -> None:
    """Runs all steps that have not been done."""
    parser = argparse.ArgumentParser(description=__doc__)
    purpose = 'delete data and results, and start over'
    parser.add_argument('--fresh', action='store_true', help=purpose)
    if parser.parse_args().fresh:
        shutil.rmtree(DATA, ignore_errors=True)
        forget_training()
    try:
        generate_dataset(DATA, workers=os.cpu_count() or 1)
    except FileExistsError as error:
        raise UserError(
            f'{error} Or start over: bash tools/quickstart.sh --fresh'
        ) from error
    checkpoint = train_or_resume(load_config(CONFIG))
    # The summary is written last, so with it everything else is there.
    summary = read_json(SUMMARY) if SUMMARY.is_file() else evaluate(checkpoint)
    names = [*(f'@{t}' for t in THRESHOLDS), 'average']
    print(f'\nmAP on {summary["num_test_videos"]} held-out videos, by tIoU threshold')
    print(' '.join(f'{name:>8}' for name in names))
    print(' '.join(f'{100 * value:7.1f}%' for value in summary['mAP'].values()))
    print(f'\ntraining    {summary["train_seconds"]:.0f} s')
    print(f'checkpoint  {summary["checkpoint"]}')
    print(f'timeline    {summary["timeline"]}')
    print(f'summary     {SUMMARY}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
