"""From what a person types to a list of video files with unique names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..datasets.sources import VIDEO_EXTENSIONS
from ..utils import UserError
from .video_result import VIDEO_SUFFIXES

_LIST_SUFFIXES = ('.txt', '.lst')


def find_videos(
    inputs: Sequence[str | os.PathLike], reserved: Iterable[str] = ()
) -> dict[str, str]:
    """Lists the videos that inputs stand for.

    Args:
        inputs: Each a video file, a folder (searched with its subfolders for known
            extensions), a glob pattern, or a list file (``.txt``: one of these per
            line, relative to the file's folder; lines that begin with # are skipped).
            Videos that are results of an earlier run are left out of folders and
            patterns.
        reserved: Names that no video may get.

    Returns:
        Files in order, each once, by the unique names that their results get: the name
        of the file without its extension if that is enough.

    Raises:
        UserError: An input stands for nothing.
    """
    unique: dict[str, str] = {}
    for item in inputs:
        for path in _expand(os.fspath(item)):
            unique.setdefault(os.path.realpath(path), path)
    paths = list(unique.values())
    return dict(zip(_unique_names(paths, set(reserved)), paths, strict=True))


def _expand(item: str) -> list[str]:
    """The video files that one input stands for."""
    path = Path(item)
    if path.is_file():
        return _read_list(path) if path.suffix in _LIST_SUFFIXES else [item]
    if path.is_dir():
        files = (
            str(file)
            for file in path.rglob('*')
            if file.suffix.lower() in VIDEO_EXTENSIONS and not file.name.startswith('.')
        )
        problem = f'folder {item} holds no video; known extensions are ' + ', '.join(
            VIDEO_EXTENSIONS
        )
    elif glob.has_magic(item):
        files = glob.iglob(item, recursive=True)
        problem = f'pattern {item} matches no file'
    else:
        files = iter(())
        problem = (
            f'input {item} does not exist. Remedy: give video files, folders, quoted '
            'patterns like "videos/*.mp4", or a .txt file with one of these per line'
        )
    found = sorted(
        file
        for file in files
        if os.path.isfile(file) and not file.endswith(VIDEO_SUFFIXES)
    )
    if not found:
        raise UserError(problem)
    return found


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f'list file {path} is not UTF-8 text: {error}') from error
    entries = [line.strip() for line in lines]
    entries = [line for line in entries if line and not line.startswith('#')]
    if not entries:
        raise UserError(f'list file {path} names no video')
    found = []
    for entry in entries:
        target = path.parent / entry
        if target.suffix in _LIST_SUFFIXES:
            raise UserError(f'list file {path} names another list, {entry}')
        # A missing file is a broken video: the others are not held up by it.
        is_pattern = glob.has_magic(entry) and not target.exists()
        several = target.is_dir() or is_pattern
        found += _expand(str(target)) if several else [str(target)]
    return found


def _unique_names(paths: Sequence[str], reserved: set[str]) -> list[str]:
    """The stem where it is unique, else more and more of the path."""
    names: list[str] = [''] * len(paths)
    for candidates in (
        [Path(path).stem for path in paths],
        [Path(path).name for path in paths],
        ['_'.join(Path(path).resolve().parts[-2:]) for path in paths],
    ):
        proposed = [name or new for name, new in zip(names, candidates, strict=True)]
        folded = [name.casefold() for name in proposed]
        for index, name in enumerate(folded):
            if folded.count(name) == 1 and name not in reserved:
                names[index] = proposed[index]
    taken = {name.casefold() for name in names if name} | reserved
    for index, path in enumerate(paths):
        number = 1
        while not names[index]:
            number += 1
            name = f'{Path(path).name}-{number}'
            if name.casefold() not in taken:
                names[index] = name
                taken.add(name.casefold())
    return names
