"""Inference on many videos, with files as the result."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmtal_mts.apis.outputs import Selection, VideoResult, build_writers
from mmtal_mts.evaluation.functional.detections import dump_detections, load_detections
from mmtal_mts.utils import UserError
from mmtal_mts.utils.errors import error_message
from mmtal_mts.version import __version__

from .finished import FinishedVideos, file_stamp, text_stamp
from .inferencer import TALInferencer
from .inputs import VideoInput, find_videos
from .known_actions import KnownActions
from .processes import Processes
from .progress import VideoProgress

ALL_DETECTIONS = 'detections'
"""Name of the file with the detections of all videos."""


@dataclass
class BatchReport:
    """What became of the videos.

    Attributes:
        done (list[str]): Names of those that were processed now.
        skipped (list[str]): Of those that were finished before.
        failed (dict[str, str]): Reasons by video file.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def merge(cls, reports: Sequence[BatchReport]) -> BatchReport:
        """Joins the reports of all processes.

        Args:
            reports (Sequence[BatchReport]): One per process.

        Returns:
            BatchReport: Names sorted.
        """
        return cls(
            sorted(name for report in reports for name in report.done),
            sorted(name for report in reports for name in report.skipped),
            {path: why for report in reports for path, why in report.failed.items()},
        )

    def summary(self) -> str:
        """The numbers, and what is wrong with each video that failed.

        Returns:
            str: One line, and one per failed video.
        """
        parts = [f'{len(self.done)} done']
        if self.skipped:
            parts.append(f'{len(self.skipped)} skipped')
        if self.failed:
            parts.append(f'{len(self.failed)} failed')
        lines = [f'videos: {", ".join(parts)}']
        for path, why in self.failed.items():
            lines.append(f'  {why}' if path in why else f'  {path}: {why}')
        return '\n'.join(lines)


class BatchInference:
    """Runs an inferencer over many videos and writes their results.

    A broken video does not stop the others. A video whose files are there, made with
    the same settings from the same file, is skipped.

    Args:
        inferencer (TALInferencer): With the model.
        out_dir (str | os.PathLike): Folder of the results.
        formats (Sequence[str]): Some of :data:`mmtal_mts.apis.outputs.FORMATS`.
        selection (Selection): Which detections are written.
        ann_file (str, optional): Annotation with ground truth to be shown.
        overwrite (bool): Do finished videos again.

    Raises:
        UserError: If a setting is unusable.
    """

    def __init__(
        self,
        inferencer: TALInferencer,
        out_dir: str | os.PathLike,
        formats: Sequence[str] = ('json', 'html'),
        selection: Selection = Selection(),  # noqa: B008 (immutable)
        ann_file: str | os.PathLike | None = None,
        overwrite: bool = False,
    ) -> None:
        selection.check(inferencer.classes)
        self.inferencer = inferencer
        self.out_dir = Path(out_dir)
        self.writers = build_writers(formats, selection)
        self.known = None if ann_file is None else KnownActions(ann_file)
        self.overwrite = overwrite
        self.finished = FinishedVideos(
            self.out_dir,
            dict(
                version=__version__,
                formats=sorted(self.writers),
                selection=[selection.score_thr, selection.top_k, selection.classes],
                annotations=file_stamp(ann_file),
                config=text_stamp(inferencer.cfg.pretty_text),
                weights=file_stamp(inferencer.weights),
                amp=inferencer.amp,
                frame_size=inferencer.frame_size,
                flow_method=inferencer.flow_method,
            ),
        )

    def __call__(
        self,
        inputs: Sequence[str | os.PathLike],
        processes: Processes | None = None,
    ) -> BatchReport:
        """Processes all videos.

        Args:
            inputs (Sequence[str | os.PathLike]): See :func:`.find_videos`.
            processes (Processes, optional): Those that share the work.

        Returns:
            BatchReport: Of the videos of all processes.

        Raises:
            UserError: If an input stands for nothing, or the results would overwrite
                a video.
        """
        processes = processes or Processes()
        videos = find_videos(inputs, reserved=[ALL_DETECTIONS])
        self._check_not_overwriting(videos)
        mine = processes.share(videos)
        prefix = f'[{processes.rank}] ' if processes.count > 1 else ''
        report = BatchReport()
        with VideoProgress(len(mine), prefix) as progress:
            for video in mine:
                self._process(video, report, progress)
        report = BatchReport.merge(processes.gather(report))
        if processes.rank == 0 and len(videos) > 1 and 'json' in self.writers:
            self._join(videos)
        return report

    def files(self, video: VideoInput) -> dict[str, Path]:
        """The files of a video.

        Args:
            video (VideoInput): The video.

        Returns:
            dict[str, Path]: By format.
        """
        return {
            name: self.out_dir / f'{video.name}{writer.suffix}'
            for name, writer in self.writers.items()
        }

    def _check_not_overwriting(self, videos: Sequence[VideoInput]) -> None:
        sources = {os.path.realpath(video.path) for video in videos}
        for video in videos:
            for path in self.files(video).values():
                if os.path.realpath(path) in sources:
                    raise UserError(
                        f'{path} would be overwritten, but is one of the videos. '
                        'Remedy: another --out'
                    )

    def _process(
        self, video: VideoInput, report: BatchReport, progress: VideoProgress
    ) -> None:
        """One video, whatever happens."""
        files = self.files(video)
        if not self.overwrite and self.finished.has(
            video.name, video.path, list(files.values())
        ):
            report.skipped.append(video.name)
            progress.end(f'{video.name}: finished before, skipped', 'dim')
            return
        progress.begin(video.name)
        began = time.perf_counter()
        try:
            result = self.inferencer.detect(
                video.path, video_id=video.name, report=progress.windows
            )
            if self.known is not None:
                result = self.known.add_to(result)
            for name, path in files.items():
                progress.writing(video.name, name)
                self.writers[name].write(result, path)
        # Whatever is wrong with this video, the next one may be fine.
        except Exception as error:
            if os.environ.get('MMTAL_DEBUG') == '1':
                raise
            report.failed[video.path] = error_message(error)
            progress.end(f'{video.name}: FAILED, {report.failed[video.path]}', 'red')
            return
        self.finished.add(video.name, video.path)
        report.done.append(video.name)
        self._tell(result, time.perf_counter() - began, progress)

    def _tell(
        self, result: VideoResult, seconds: float, progress: VideoProgress
    ) -> None:
        selection = next(iter(self.writers.values())).selection
        count = len(selection(result).detections)
        progress.end(
            f'{result.video_id}: {count} action{"s" * (count != 1)} in '
            f'{result.duration:.1f} s of video, took {seconds:.1f} s'
        )
        for warning in result.warnings:
            progress.note(f'  {result.video_id}: {warning}')

    def _join(self, videos: Sequence[VideoInput]) -> None:
        """Writes the detections of all videos that have some into one file."""
        found = {}
        for video in videos:
            path = self.files(video)['json']
            if path.is_file():
                found.update(load_detections(path, self.inferencer.classes))
        target = self.out_dir / f'{ALL_DETECTIONS}.json'
        dump_detections(target, found, self.inferencer.classes)
