"""Checks the installed stack: one OpenCV with optical flow, packages that fit.

With --full also what only the full flavour has: mmcv.ops, MMDetection, our operators.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import metadata

CONTRIB = 'opencv-contrib-python'
OPENCV_PACKAGES = (
    *(CONTRIB, f'{CONTRIB}-headless'),
    *('opencv-python', 'opencv-python-headless'),
)
# What the full flavour must be able to do, in the order in which it is installed.
FULL_CHECKS = (
    'import torch; from mmcv.ops import nms; '
    'nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)',
    'import mmtal_mts, mmdet.models',
    'from mmtal_mts.ops import compiled_ops_problem as problem; '
    'assert problem() is None, problem()',
)
VERSIONS = (
    'import mmtal_mts, torch, mmengine, mmcv, mmaction, numpy, cv2; '
    'print(*(f"{m.__name__} {m.__version__}" for m in '
    '(mmtal_mts, torch, mmengine, mmcv, mmaction, numpy, cv2)), sep="\\n")'
)


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
    return [package for package in OPENCV_PACKAGES if package in names]


def opencv_problem() -> str | None:
    """Describes what is wrong with OpenCV."""
    packages = installed_opencv()
    if len(packages) != 1:
        return f'exactly one OpenCV package should be installed, not {packages}'
    reason = failure('import cv2; cv2.optflow.DualTVL1OpticalFlow_create')
    return None if reason is None else f'{packages[0]} does not work: {reason}'


def reinstall_opencv(package: str) -> None:
    """Leaves exactly this OpenCV package installed."""
    pip = [sys.executable, '-m', 'pip']
    # All of them: removing one takes files of the others along.
    if installed := installed_opencv():
        subprocess.run([*pip, 'uninstall', '-y', *installed], check=True)
    subprocess.run([*pip, 'install', '--no-deps', package], check=True)


def find_problem(full: bool) -> str | None:
    """Describes what is wrong, with the remedy."""
    problem = opencv_problem()
    if problem is not None:
        return f'{problem}. Remedy: python {__file__} --fix'
    for code in FULL_CHECKS if full else ():
        reason = failure(code)
        if reason is not None:
            return (
                f'this is not the full flavour: "{code}" fails: {reason}. '
                'Remedy: bash tools/install_full.sh'
            )
    return None


def main() -> int:
    """Prints what is wrong; the exit code is 0 if nothing is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--fix', action='store_true', help='reinstall OpenCV if it does not work'
    )
    parser.add_argument(
        '--full', action='store_true', help='check the full flavour as well'
    )
    args = parser.parse_args()
    # The headless one where the usual one does not import: many servers lack libGL.
    for package in (CONTRIB, f'{CONTRIB}-headless') if args.fix else ():
        if problem := opencv_problem():
            print(f'{problem}; installing {package}')
            reinstall_opencv(package)
    if problem := find_problem(args.full):
        print(f'error: {problem}', file=sys.stderr)
        return 1
    # In a fresh process as well: this one may have seen other packages.
    return subprocess.run([sys.executable, '-c', VERSIONS], check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
