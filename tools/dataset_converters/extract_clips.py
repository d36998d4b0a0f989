"""Extracts frames and optical flow from videos, once, for fast training.

OUT gets a folder for each modality and layout (rgb_npy, flow_npy, rgb_frames,
flow_frames). Run the same command again to go on after an interruption. The exit
status is 1 if a video failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    import cv2
    import mmcv
    import numpy as np
    from rich.progress import track

    from mmtal_mts.datasets import VideoReader, VideoReadError, flow, video
    from mmtal_mts.datasets.sources import VideoFile, claim_folder, find_videos
    from mmtal_mts.datasets.stored import CHANNELS, open_array
    from mmtal_mts.datasets.windows import complete_frames
    from mmtal_mts.structures import timebase
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.errors import error_message, is_input_error
    from mmtal_mts.utils.processes import run_jobs
except ImportError as error:
    sys.exit(f'error: {error}')

# Frames that are held at a time.
_CHUNK = 32
_BLOCK = 4096
# Bytes per pixel and channel of JPEG images, rounded up from measured ones.
_JPEG_BYTES = 0.15
_HOST = socket.gethostname().split('.')[0]

# A video, and the modalities that are still to be extracted from it.
Job = tuple[VideoFile, list[str]]


def parse_args(argv: Sequence[str] | None = None) -> Namespace:
    """Parses the command line and checks the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, rate = parser.add_argument, parser.add_mutually_exclusive_group()
    add('videos', help='folder of the video files')
    add('out', type=Path, help='folder to write')
    add('--ann', metavar='FILE.json', help='only the videos of this annotation file')
    add('--subsets', nargs='+', help='only these subsets of it')
    add('--modalities', nargs='+', choices=['RGB', 'Flow'], default=['RGB'])
    add('--layout', choices=['npy', 'frames'], default='npy')
    rate.add_argument(
        '--fps', type=float, help='sampled frames per second (default: 10)'
    )
    number_help = 'instead: per video, e.g. 768 for ActivityNet'
    rate.add_argument('--num-frames', type=int, help=number_help)
    add('--side', type=int, default=112, help='height and width (default: 112)')
    add(
        '--flow-method', choices=flow.FLOW_METHODS, default='tvl1', help='default: tvl1'
    )
    add('--flow-bound', type=float, default=20, help='pixels that become 0 and 255')
    add('--workers', type=int, default=os.cpu_count() or 1, help='videos at a time')
    add('--dry-run', action='store_true', help='only say what there is to do')
    args = parser.parse_args(argv)
    if args.fps is None and args.num_frames is None:
        args.fps = 10.0
    args.modalities = list(dict.fromkeys(args.modalities))
    lowest = dict(fps=0, num_frames=0, flow_bound=0, workers=0, side=15)
    for name, bound in lowest.items():
        value = getattr(args, name)
        if value is not None and not bound < value < float('inf'):
            raise UserError(f'{name} must be more than {bound}, got {value}')
    return args


def folder_of(args: Namespace, modality: str) -> Path:
    """The folder of a modality, for example ``OUT/flow_npy``."""
    return args.out / f'{modality.lower()}_{args.layout}'


def target(args: Namespace, modality: str, video_id: str) -> Path:
    """The file or folder of a video, where a data set looks for it."""
    folder = folder_of(args, modality)
    name = f'{video_id}.npy' if args.layout == 'npy' else video_id
    path = Path(os.path.normpath(folder / name))
    if Path(os.path.normpath(folder)) not in path.parents:
        raise UserError(f'video id {video_id!r} leads out of {folder}')
    return path


def is_whole(args: Namespace, modality: str, video_id: str) -> bool:
    """Whether a video is there already, whole and of the right shape."""
    path = target(args, modality, video_id)
    if args.layout == 'frames':
        # Folders get their name when they are complete.
        return path.is_dir()
    try:
        array = open_array(str(path), modality)
    except VideoReadError:
        return False
    shape = (args.side, args.side, CHANNELS[modality])
    return array.shape[1:] == shape and args.num_frames in (None, len(array))


def num_bytes(args: Namespace, modality: str, num_frames: int) -> int:
    """Estimates the disk space of a video; exact for arrays."""
    values = args.side * args.side * CHANNELS[modality]
    if args.layout == 'npy':
        return num_frames * values + 128
    images = 1 if modality == 'RGB' else 2
    blocks = -(-values * _JPEG_BYTES // (images * _BLOCK))
    return int(num_frames * images * blocks * _BLOCK)


def plan(args: Namespace, videos: Sequence[VideoFile], num_videos: int) -> list[Job]:
    """Lists and prints what is missing, and records in the folders how it is made.

    Raises:
        UserError: If the disk is too small, or a folder holds what other settings made.
    """
    jobs, total_frames, total = [], 0, 0
    for item in videos:
        missing = [m for m in args.modalities if not is_whole(args, m, item.video_id)]
        if missing:
            jobs.append((item, missing))
            length_s = video.announced_duration_s(item.path)
            count = args.num_frames or 0
            if length_s and not count:
                count = timebase.num_sampled_frames(args.fps, length_s)
            total_frames += count
            total += sum(num_bytes(args, modality, count) for modality in missing)
    unit, size = ('GB', 1e9) if total >= 1e9 else ('MB', 1e6)
    print(
        f'{num_videos} videos, of which {len(videos) - len(jobs)} are there already; '
        f'to do: {len(jobs)} videos, about {total_frames} frames, '
        f'{total / size:.1f} {unit}'
    )
    existing = next(p for p in (args.out, *args.out.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if total > free:
        raise UserError(
            f'{args.out}: {total / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are '
            'free. Remedy: another disk, a smaller side, or fewer videos (--ann)'
        )
    for modality in args.modalities:
        keys = ['fps', 'num_frames', 'side', 'layout']
        keys += ['flow_method', 'flow_bound'] if modality == 'Flow' else []
        settings = dict({key: getattr(args, key) for key in keys}, modality=modality)
        claim_folder(folder_of(args, modality), settings, dry_run=args.dry_run)
    return jobs


def sampled_indices(args: Namespace, times: timebase.FrameTimes) -> np.ndarray:
    """(M,) source frames of the sampled frames, the last of each interval."""
    count = args.num_frames or times.count(args.fps)
    if args.num_frames and times.starts_s is None:
        # Of a constant rate only its ratio to the other one matters.
        indices = timebase.source_frame_indices(0, count, times.num_frames, count)
    else:
        fps = args.fps or timebase.mean_rate(count, times.duration_s)
        indices = times.indices(0, count, fps)
    return np.minimum(indices, times.num_frames - 1)


def sampled_clips(
    args: Namespace, reader: VideoReader, indices: np.ndarray, modalities: Sequence[str]
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yields modality and scaled frames, or the flow between them, in pieces."""
    scale = partial(flow.scale_frame, width=args.side, height=args.side)
    method = args.flow_method, args.flow_bound

    def grey(frame: np.ndarray) -> np.ndarray:
        return mmcv.rgb2gray(scale(frame))

    last: dict[str, list[np.ndarray]] = {}
    for begin in range(0, len(indices), _CHUNK):
        piece = indices[begin : begin + _CHUNK]
        for modality in modalities:
            if modality == 'RGB':
                frames = reader.read(piece, scale)
            else:
                frames = flow.read_flow(
                    reader, grey, indices, begin, len(piece), *method
                )
            if len(frames) < len(piece):
                # With the frame before it, for all that lacks up to the end.
                known = last.get(modality, [])
                rest = indices[begin - len(known) :]
                whole = complete_frames(reader.path, reader.times, rest, known + frames)
                frames = whole[len(known) :][: len(piece)]
            last[modality] = frames[-1:]
            yield modality, frames


def extract_video(job: Job, args: Namespace) -> int:
    """Extracts one video and returns the number of sampled frames."""
    item, modalities = job
    with ExitStack() as stack:
        reader = VideoReader(item.path, default_fps=item.annotated_fps)
        stack.enter_context(closing(reader))
        indices = sampled_indices(args, reader.times)
        writers = {
            m: stack.enter_context(_writer(args, m, item.video_id, len(indices)))
            for m in modalities
        }
        for modality, frames in sampled_clips(args, reader, indices, modalities):
            for frame in frames:
                writers[modality](frame)
    return len(indices)


@contextmanager
def _writer(
    args: Namespace, modality: str, video_id: str, num_frames: int
) -> Iterator[Callable[[np.ndarray], object]]:
    """Yields what writes the next frame; the result gets its name when it is whole."""
    folder, path = folder_of(args, modality), target(args, modality, video_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f'.{_HOST}-{os.getpid()}.'
    with TemporaryDirectory('.partial', prefix, folder) as temporary:
        made = Path(temporary, path.name)
        if args.layout == 'npy':
            # Plain writes, not a memory map: a full disk is an error there, and not a
            # signal that ends the process.
            with open(made, 'wb') as file:
                shape = (num_frames, args.side, args.side, CHANNELS[modality])
                header = dict(descr='|u1', fortran_order=False, shape=shape)
                np.lib.format.write_array_header_1_0(file, header)
                yield lambda frame: file.write(np.ascontiguousarray(frame).data)
                file.flush()
                os.fsync(file.fileno())
        else:
            made.mkdir()
            numbers = iter(range(1, num_frames + 1))
            yield lambda frame: _write_images(made, frame, next(numbers))
        # Replaces a damaged file; a folder cannot be replaced.
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(made, path)


def _write_images(folder: Path, frame: np.ndarray, number: int) -> None:
    """Writes ``img_00001.jpg``, or ``x_`` and ``y_`` for flow."""
    images = dict(img=frame[..., ::-1])
    if frame.shape[2] == CHANNELS['Flow']:
        images = dict(x=frame[..., 0], y=frame[..., 1])
    for name, image in images.items():
        path = folder / f'{name}_{number:05}.jpg'
        if not cv2.imwrite(str(path), np.ascontiguousarray(image)):
            raise OSError(f'{path}: cannot be written; the disk may be full')


def remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files of processes of this machine that are gone."""
    for path in folder.glob('.*.partial'):
        host, _, pid = path.name.split('.')[1].rpartition('-')
        is_known = host == _HOST and os.path.isdir('/proc/self')
        if is_known and not os.path.isdir(f'/proc/{pid}'):
            shutil.rmtree(path)


def extract_clips(args: Namespace) -> dict[str, str]:
    """Extracts all videos, prints the progress, and returns by id why some failed.

    What is there already is kept, so that the same call goes on after an interruption.
    Every video has a process of its own.
    """
    videos, failed = find_videos(args.videos, args.ann, args.subsets)
    num_videos = len(videos) + len(failed)
    if 'Flow' in args.modalities:
        flow.build_flow(args.flow_method)
    jobs = plan(args, videos, num_videos)
    if not args.dry_run and jobs:
        failed |= _run(jobs, args)
    if failed:
        print(f'{len(failed)} of {num_videos} videos failed:')
        for video_id, reason in failed.items():
            print(f'  {video_id}: {reason}')
    elif not args.dry_run:
        folders = [str(folder_of(args, modality)) for modality in args.modalities]
        print(f'All videos are in {", ".join(folders)}')
    return failed


def _run(jobs: Sequence[Job], args: Namespace) -> dict[str, str]:
    """Extracts with a bar on a terminal, a line per video elsewhere."""
    failed: dict[str, str] = {}
    # No thread that refreshes: it could hold a lock while a process is forked. For the
    # same reason OpenCV must not have threads.
    cv2.setNumThreads(1)
    quiet = not sys.stdout.isatty()
    shown = dict(total=len(jobs), auto_refresh=False, disable=quiet)
    results = run_jobs(partial(extract_video, args=args), jobs, args.workers)
    try:
        done = track(results, 'Extracting', **shown)
        for number, ((item, _), result) in enumerate(done, 1):
            outcome = f'{result} frames'
            if isinstance(result, BaseException):
                reason = error_message(result)
                if not is_input_error(result):
                    reason = f'{type(result).__name__}: {reason}'
                failed[item.video_id], outcome = reason, f'failed: {reason}'
            if quiet:
                print(f'[{number}/{len(jobs)}] {item.video_id}: {outcome}', flush=True)
    finally:
        results.close()
        # Unfinished files of processes that crashed, now or in an earlier run.
        for modality in args.modalities:
            remove_leftovers(folder_of(args, modality))
    return failed


def main() -> None:
    """Extracts."""
    if extract_clips(parse_args()):
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
