"""Checks the installed stack: one OpenCV with optical flow, packages that fit.

With --full also what only the full flavour has: mmcv.ops, MMDetection, our operators.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import metadata

CONTRIB = 'opencv-contrib-python'
OPENCV = (CONTRIB, f'{CONTRIB}-headless', 'opencv-python', 'opencv-python-headless')
# What the full flavour must be able to do, in the order in which it is installed.
FULL_CHECKS = (
    'import torch; from mmcv.ops import nms; '
    'nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)',
    'import mmtal_mts, mmdet.models',
    'from mmtal_mts.ops import compiled_ops_problem as problem; '
    'assert problem() is None, problem()',
)
VERSIONS = """
import mmtal_mts, torch, mmengine, mmcv, mmaction, numpy, cv2
for module in (mmtal_mts, torch, mmengine, mmcv, mmaction, numpy, cv2):
    print(module.__name__, module.__version__)
"""


def failure(code: str) -> str | None:
    """Runs code in a fresh process; the last line of its error message, or None."""
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    if result.returncode == 0:
        return None
    return (result.stderr.strip().splitlines() or ['unknown reason'])[-1]


def installed_opencv() -> list[str]:
    """The installed OpenCV packages; they all write the same folder."""
    names = {dist.metadata['Name'] for dist in metadata.distributions()}
    return [package for package in OPENCV if package in names]


def opencv_problem() -> str | None:
    """Describes what is wrong with OpenCV."""
    packages = installed_opencv()
    if len(packages) != 1:
        return f'exactly one OpenCV package should be installed, not {packages}'
    reason = failure('import cv2; cv2.optflow.DualTVL1OpticalFlow_create')
    return None if reason is None else f'{packages[0]} does not work: {reason}'


def fix_opencv() -> None:
    """Leaves exactly one OpenCV package installed, with the contributed modules."""
    pip = [sys.executable, '-m', 'pip']
    # The headless one where the usual one does not import: many servers lack libGL.
    for package in (CONTRIB, f'{CONTRIB}-headless'):
        if problem := opencv_problem():
            print(f'{problem}; installing {package}')
            # All of them: removing one takes files of the others along.
            if installed := installed_opencv():
                subprocess.run([*pip, 'uninstall', '-y', *installed], check=True)
            subprocess.run([*pip, 'install', '--no-deps', package], check=True)


def main() -> int:
    """Prints what is wrong; the exit code is 0 if nothing is."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--fix', action='store_true', help='reinstall OpenCV if it does not work')
    add('--full', action='store_true', help='check the full flavour as well')
    args = parser.parse_args()
    if args.fix:
        fix_opencv()
    problem, remedy = opencv_problem(), f'python {__file__} --fix'
    for code in FULL_CHECKS if args.full else ():
        if problem is None and (reason := failure(code)):
            problem = f'this is not the full flavour: "{code}" fails: {reason}'
            remedy = 'bash tools/install_full.sh'
    if problem is not None:
        print(f'error: {problem}. Remedy: {remedy}', file=sys.stderr)
        return 1
    # In a fresh process as well: this one may have seen other packages.
    return subprocess.run([sys.executable, '-c', VERSIONS], check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
