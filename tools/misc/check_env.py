"""Checks the installed stack: one OpenCV with optical flow, versions that fit."""

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
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    if result.returncode == 0:
        return None
    reason = (result.stderr.strip().splitlines() or ['unknown reason'])[-1]
    return f'{packages[0]} does not work: {reason}'


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


def main() -> int:
    """Prints what is wrong; the exit code is 0 if nothing is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--fix', action='store_true', help='reinstall OpenCV if it does not work'
    )
    args = parser.parse_args()
    problem = check_opencv(args.fix)
    if problem is not None:
        print(f'error: {problem}. Remedy: python {__file__} --fix', file=sys.stderr)
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
