"""Extraction of many videos: in parallel, and where it was interrupted."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

import cv2

from mmtal_mts.utils import UserError
from mmtal_mts.utils.processes import run_isolated

from ..frame_times import FrameTimes
from ..transforms.video_readers import (
    VideoReadError,
    available_backends,
    open_video,
)
from .flow import FlowEncoder, build_flow
from .sampled_video import SampledVideo
from .settings import ExtractionSettings
from .videos import VideoFile
from .writers import ArrayWriter, ClipWriter, ImageFolderWriter, remove_leftovers

# Best first for reading a video from end to end. The memory of Decord grows with every
# frame it returns, up to gigabytes for long videos; windows never get that far.
_BACKEND_ORDER = ('pyav', 'opencv', 'decord')
# Another library would not help against these.
_CANNOT_WRITE = {
    getattr(errno, name)
    for name in ('ENOSPC', 'EDQUOT', 'EFBIG')
    if hasattr(errno, name)
}
# Progress is reported so often, in seconds.
_REPORT_EVERY_S = 0.5


@dataclass(frozen=True)
class Job:
    """What is still to be extracted from a video.

    Attributes:
        video (VideoFile): The video.
        modalities (tuple): 'RGB', 'Flow' or both.
        num_frames (int): Expected number of sampled frames; 0 if the file does not
            open.
    """

    video: VideoFile
    modalities: tuple[str, ...]
    num_frames: int


@dataclass
class ExtractionPlan:
    """What an extraction has to do.

    Attributes:
        jobs (list): Videos of which something is missing.
        num_kept (int): Videos that are there already.
        num_bytes (int): Disk space needed for the jobs.
    """

    jobs: list[Job] = field(default_factory=list)
    num_kept: int = 0
    num_bytes: int = 0

    @property
    def num_frames(self) -> int:
        """int: Sampled frames of all jobs."""
        return sum(job.num_frames for job in self.jobs)


def plan_extraction(
    videos: Sequence[VideoFile], out_dir: Path, settings: ExtractionSettings
) -> ExtractionPlan:
    """Finds out what is missing, and how much space it takes.

    Args:
        videos (Sequence[VideoFile]): Videos.
        out_dir (Path): Root of the output.
        settings (ExtractionSettings): What to make.

    Returns:
        ExtractionPlan: The plan.
    """
    plan = ExtractionPlan()
    for video in videos:
        missing = tuple(
            modality
            for modality in settings.modalities
            if not settings.is_whole(
                settings.target(out_dir, modality, video.video_id), modality
            )
        )
        if not missing:
            plan.num_kept += 1
            continue
        num_frames = settings.grid.num_frames or _expected_frames(video, settings)
        plan.jobs.append(Job(video, missing, num_frames))
        plan.num_bytes += sum(settings.num_bytes(m, num_frames) for m in missing)
    return plan


def _expected_frames(video: VideoFile, settings: ExtractionSettings) -> int:
    """Reads the header only, where the other libraries go through the whole file."""
    try:
        reader = open_video(video.path, 'opencv')
        fps = reader.fps or video.annotated_fps
        return settings.grid.count(FrameTimes(reader.num_frames, fps))
    # What is wrong with the file is told when it is extracted.
    except Exception:
        return 0


def check_disk_space(plan: ExtractionPlan, out_dir: Path) -> None:
    """Raises if the plan does not fit on the disk.

    Args:
        plan (ExtractionPlan): The plan.
        out_dir (Path): Root of the output.

    Raises:
        UserError: If there is too little free space.
    """
    existing = next(p for p in (out_dir, *out_dir.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if plan.num_bytes > free:
        raise UserError(
            f'{out_dir}: {plan.num_bytes / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB '
            'are free. Remedy: another disk, a smaller side, or fewer videos (--ann)'
        )


def extract_video(
    job: Job,
    report: Callable[[int], None],
    out_dir: Path,
    settings: ExtractionSettings,
    backends: Sequence[str],
) -> int:
    """Extracts one video, with the next library where one cannot read it.

    Args:
        job (Job): Video and what is missing of it.
        report (Callable): Takes the number of frames done so far.
        out_dir (Path): Root of the output.
        settings (ExtractionSettings): What to make.
        backends (Sequence[str]): Decoding libraries in the order of preference.

    Returns:
        int: Number of sampled frames.

    Raises:
        OSError: If the result cannot be written.
        VideoReadError: If no library can read the file.
    """
    failures = []
    for backend in backends:
        try:
            video = SampledVideo(
                job.video.path,
                settings.grid,
                settings.side,
                backend,
                job.video.annotated_fps,
            )
            _write(job, video, report, out_dir, settings)
            return video.num_frames
        except MemoryError:
            raise
        # Each library has exceptions of its own, of which some are OSErrors.
        except Exception as error:
            if getattr(error, 'errno', None) in _CANNOT_WRITE:
                raise
            failures.append(f'{backend}: {error}')
    raise VideoReadError(f'{job.video.path} cannot be decoded ({"; ".join(failures)})')


def _write(
    job: Job,
    video: SampledVideo,
    report: Callable[[int], None],
    out_dir: Path,
    settings: ExtractionSettings,
) -> None:
    with ExitStack() as stack:
        writers = {
            modality: stack.enter_context(
                _writer(job.video, modality, video.num_frames, out_dir, settings)
            )
            for modality in job.modalities
        }
        encoder = None
        if 'Flow' in writers:
            encoder = FlowEncoder(settings.flow_method, settings.flow_bound)
        reported = monotonic()
        for index, frame in enumerate(video):
            if 'RGB' in writers:
                writers['RGB'].add(frame)
            flow = encoder and encoder.push(frame)
            if flow is not None:
                writers['Flow'].add(flow)
            if monotonic() - reported > _REPORT_EVERY_S:
                reported = monotonic()
                report(index + 1)
        if encoder is not None:
            writers['Flow'].add(encoder.finish())


def _writer(
    video: VideoFile,
    modality: str,
    num_frames: int,
    out_dir: Path,
    settings: ExtractionSettings,
) -> ClipWriter:
    path = settings.target(out_dir, modality, video.video_id)
    if settings.layout == 'npy':
        return ArrayWriter(path, num_frames, settings.shape(modality))
    return ImageFolderWriter(path, num_frames)


def extract_all(
    plan: ExtractionPlan,
    out_dir: Path,
    settings: ExtractionSettings,
    workers: int,
    on_event: Callable[[Job, str, object], None],
    backend: str = 'auto',
) -> dict[str, str]:
    """Carries a plan out.

    Args:
        plan (ExtractionPlan): The plan.
        out_dir (Path): Root of the output.
        settings (ExtractionSettings): What to make.
        workers (int): Videos at a time, each in a process of its own.
        on_event (Callable): Called with a job, 'progress' (frames so far), 'done'
            (frames) or 'failed' (the reason), and that value.
        backend (str): Decoding library, or 'auto' for all that are installed.

    Returns:
        dict[str, str]: Why each failed video failed, by id.

    Raises:
        ImportError: If OpenCV lacks the flow method, or the library is missing.
        UserError: If the output folder holds what other settings made.
        ValueError: If ``workers`` is not positive.
    """
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    available = available_backends()
    if backend != 'auto' and backend not in available:
        raise ImportError(f'backend {backend!r} is not installed; there is {available}')
    if 'Flow' in settings.modalities:
        build_flow(settings.flow_method)
    for modality in settings.modalities:
        settings.claim(out_dir, modality)
        remove_leftovers(settings.folder(out_dir, modality))
    extract = partial(
        extract_video,
        out_dir=out_dir,
        settings=settings,
        backends=(
            [name for name in _BACKEND_ORDER if name in available]
            if backend == 'auto'
            else [backend]
        ),
    )
    failed = {}
    # Processes, not threads, share the work. A pool of OpenCV's threads must not exist
    # when a process is forked either: the child would wait for them forever.
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with closing(run_isolated(extract, plan.jobs, workers)) as events:
            for event in events:
                if event.kind == 'failed':
                    failed[event.job.video.video_id] = event.value
                on_event(*event)
    finally:
        cv2.setNumThreads(num_threads)
        # Of processes that crashed or were interrupted.
        for modality in settings.modalities:
            remove_leftovers(settings.folder(out_dir, modality))
    return failed
