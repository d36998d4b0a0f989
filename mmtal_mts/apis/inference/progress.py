"""Tells a person how far inference is."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_NAME_WIDTH = 28


class VideoProgress:
    """Bars for all videos and for the windows of the one at hand, with the ETA.

    Without a terminal only finished lines are written.

    Args:
        num_videos (int): Of this process.
        prefix (str): Put before each line, e.g. the number of the process.
        console (Console, optional): Where to write; standard output by default.
    """

    def __init__(
        self, num_videos: int, prefix: str = '', console: Console | None = None
    ) -> None:
        self._prefix = prefix
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn('eta', style='dim'),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._videos = self._bars.add_task(_fit('videos'), total=num_videos)
        self._windows = self._bars.add_task(_fit(''), total=None, visible=False)

    def __enter__(self) -> VideoProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, name: str) -> None:
        """A video begins.

        Args:
            name (str): Shown beside its bar.
        """
        self._bars.reset(self._windows, description=_fit(name), visible=True)
        self._bars.update(self._windows, total=None)

    def windows(self, done: int, total: int | None) -> None:
        """Windows of the video are done.

        Args:
            done (int): So many.
            total (int, optional): Of so many, if that is known.
        """
        self._bars.update(self._windows, completed=done, total=total)

    def writing(self, name: str, file_format: str) -> None:
        """A file of the video is being written.

        Args:
            name (str): Of the video.
            file_format (str): E.g. 'html'.
        """
        title = _fit(f'{file_format} {name}')
        self._bars.update(self._windows, description=title, total=None)

    def note(self, line: str) -> None:
        """Writes a line.

        Args:
            line (str): Whatever a person should know.
        """
        self._console.print(self._prefix + line, style='yellow', markup=False)

    def end(self, line: str, style: str = '') -> None:
        """A video is done with.

        Args:
            line (str): What became of it.
            style (str): Of rich.
        """
        self._console.print(self._prefix + line, style=style, markup=False)
        self._bars.advance(self._videos)


def _fit(text: str) -> str:
    """Text of a width that does not let the bars jump."""
    text = ' '.join(text.split())
    if len(text) > _NAME_WIDTH:
        text = text[: _NAME_WIDTH - 1] + '…'
    return text.ljust(_NAME_WIDTH)
