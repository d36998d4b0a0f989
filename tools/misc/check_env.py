"""Checks the installed stack: one OpenCV with optical flow, versions that fit.

With --full also what only the full flavour has: mmcv.ops, MMDetection, our operators.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys

OPENCV_PACKAGES = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
CONTRIB = 'opencv-contrib-python'
HEADLESS = 'opencv-contrib-python-headless'


def installed_opencv() -> list[str]:
    """The installed OpenCV packages; they all write the same folder."""
    found = []
    for package in OPENCV_PACKAGES:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(package)
    return found


def opencv_problem() -> str | None:
    """Says what is wrong with OpenCV, found out in a fresh process."""
    packages = installed_opencv()
    if len(packages) != 1:
        return f'exactly one OpenCV package should be installed, not {packages}'
    code = 'import cv2; cv2.optflow.DualTVL1OpticalFlow_create'
    reason = failure(code)
    return None if reason is None else f'{packages[0]} does not work: {reason}'


def failure(code: str) -> str | None:
    """Runs code in a fresh process; the last line of its complaint, or None."""
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    if result.returncode == 0:
        return None
    return (result.stderr.strip().splitlines() or ['unknown reason'])[-1]


def reinstall_opencv(package: str) -> None:
    """Leaves exactly this OpenCV package installed."""
    pip = [sys.executable, '-m', 'pip']
    # All of them: removing one takes files of the others along.
    installed = installed_opencv()
    if installed:
        subprocess.run([*pip, 'uninstall', '-y', *installed], check=True)
    subprocess.run([*pip, 'install', '--no-deps', package], check=True)


def check_opencv(fix: bool) -> str | None:
    """Checks OpenCV, and repairs it if asked to.

    Args:
        fix: Whether to reinstall: the usual package first, and where that does not
            import (libGL is missing on many servers) the headless one.

    Returns:
        What is still wrong, or None.
    """
    problem = opencv_problem()
    for package in (CONTRIB, HEADLESS) if fix else ():
        if problem is None:
            break
        print(f'{problem}; installing {package}')
        reinstall_opencv(package)
        problem = opencv_problem()
    return problem


# What the full flavour must be able to do, in the order in which it is installed.
FULL_CHECKS = (
    'import torch; from mmcv.ops import nms; '
    'nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)',
    'import mmtal_mts, mmdet.models',
    'from mmtal_mts.ops import compiled_ops_problem as problem; '
    'assert problem() is None, problem()',
)


def full_problem() -> str | None:
    """Says what the full flavour lacks, found out in fresh processes."""
    for code in FULL_CHECKS:
        reason = failure(code)
        if reason is not None:
            return f'"{code}" fails: {reason}'
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
    problem = check_opencv(args.fix)
    if problem is not None:
        print(f'error: {problem}. Remedy: python {__file__} --fix', file=sys.stderr)
        return 1
    problem = full_problem() if args.full else None
    if problem is not None:
        print(
            f'error: this is not the full flavour: {problem}. '
            'Remedy: bash tools/install_full.sh',
            file=sys.stderr,
        )
        return 1
    # In a fresh process as well: this one may have seen other packages.
    code = (
        'import mmtal_mts, torch, mmengine, mmcv, mmaction, numpy, cv2; '
        'print(*(f"{m.__name__} {m.__version__}" for m in '
        '(mmtal_mts, torch, mmengine, mmcv, mmaction, numpy, cv2)), sep="\\n")'
    )
    return subprocess.run([sys.executable, '-c', code], check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
