"""Writing the frames of one video under a name that appears when all are there."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

import mmcv
import numpy as np

_PARTIAL = re.compile(r'\..+\.(?P<host>[^.]*)-(?P<pid>\d+)\.partial')


def _host() -> str:
    return socket.gethostname().split('.')[0]


def remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files of processes of this machine that are gone.

    Args:
        folder: Folder of the sources of one modality.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _PARTIAL.fullmatch(path.name)
        if match and match['host'] == _host() and not _is_alive(int(match['pid'])):
            _remove(path)


def _is_alive(pid: int) -> bool:
    if os.name != 'posix':
        return True  # there, asking would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class ClipWriter:
    """Base of the writers, a context manager.

    Frames go to a hidden name that no other process uses. Left without an exception,
    and with as many frames as were announced, it gets its name; otherwise nothing
    is left.

    Args:
        path: Final path.
        num_frames: Number of frames that will be added.
    """

    def __init__(self, path: Path, num_frames: int) -> None:
        self.path = path
        self.num_frames = num_frames
        self.num_added = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self.partial = path.with_name(f'.{path.name}.{_host()}-{os.getpid()}.partial')
        _remove(self.partial)

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            self.close()
            if kind is None:
                if self.num_added != self.num_frames:
                    raise ValueError(
                        f'{self.path}: {self.num_added} of {self.num_frames} frames'
                    )
                # Replaces a damaged file; a folder cannot be replaced.
                if self.path.is_dir():
                    shutil.rmtree(self.path)
                os.replace(self.partial, self.path)
        finally:
            _remove(self.partial)

    def add(self, frame: np.ndarray) -> None:
        """Writes the next frame.

        Args:
            frame: (H, W, C) uint8, RGB or flow (x, y).
        """
        self.write(frame, self.num_added)
        self.num_added += 1

    def write(self, frame: np.ndarray, index: int) -> None:
        """Writes frame number ``index``."""
        raise NotImplementedError

    def close(self) -> None:
        """Makes what was written durable."""


class ArrayWriter(ClipWriter):
    """An array (T, H, W, C) uint8 in a ``.npy`` file, of which one frame is in memory.

    Args:
        path: Final path.
        num_frames: T.
        shape: (H, W, C).
    """

    def __init__(self, path: Path, num_frames: int, shape: tuple[int, ...]) -> None:
        super().__init__(path, num_frames)
        self._shape = shape
        self._file = open(self.partial, 'wb')  # noqa: SIM115
        # Plain writes, not a memory map: a full disk is an error there, and not a
        # signal that ends the process.
        np.lib.format.write_array_header_1_0(
            self._file,
            dict(descr='|u1', fortran_order=False, shape=(num_frames, *shape)),
        )

    def write(self, frame: np.ndarray, index: int) -> None:
        """See :meth:`ClipWriter.write`."""
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(
                f'{self.path}: frame {index} is {frame.dtype} {frame.shape}, expected '
                f'uint8 {self._shape}'
            )
        self._file.write(np.ascontiguousarray(frame).data)

    def close(self) -> None:
        """See :meth:`ClipWriter.close`."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


class ImageFolderWriter(ClipWriter):
    """A folder of JPEG images: ``img_00001.jpg``, or ``x_`` and ``y_`` for flow.

    Args:
        path: Final path of the folder.
        num_frames: Number of frames.
    """

    def __init__(self, path: Path, num_frames: int) -> None:
        super().__init__(path, num_frames)
        self.partial.mkdir()

    def write(self, frame: np.ndarray, index: int) -> None:
        """See :meth:`ClipWriter.write`."""
        if frame.shape[2] == 2:
            images = dict(x=frame[..., 0], y=frame[..., 1])
        else:
            images = dict(img=mmcv.rgb2bgr(frame))
        for name, image in images.items():
            path = self.partial / f'{name}_{index + 1:05}.jpg'
            if not mmcv.imwrite(np.ascontiguousarray(image), str(path)):
                raise OSError(f'{path}: cannot be written; the disk may be full')
