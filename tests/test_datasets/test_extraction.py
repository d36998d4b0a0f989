"""From a folder of videos to arrays and images that the data set reads."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import extract_clips as tool
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_brightness import VIDEO, shown

from mmtal_mts.datasets import TALDataset, VideoReader, VideoReadError, flow
from mmtal_mts.datasets.sources import find_videos
from mmtal_mts.datasets.video import write_video
from mmtal_mts.datasets.windows import ArrayReader, video_windows
from mmtal_mts.structures.timebase import FrameTimes
from mmtal_mts.utils import UserError

SIDE = 32  # that of the video: nothing is scaled
RGB = ['--side', str(SIDE)]
BOTH = [*RGB, '--flow-method', 'dis', '--modalities', 'RGB', 'Flow']


def square(num_frames, side=SIDE):
    """A bright square that moves to the right by one pixel per frame."""
    for index in range(num_frames):
        image = np.full((side, side, 3), 60, dtype=np.uint8)
        image[8:20, 2 + index % 16 : 14 + index % 16] = 200
        yield image


def ann(folder, **videos):
    """Options that name an annotation file, written anew if there are videos."""
    path, action = folder / 'ann.json', dict(segment=[0.1, 1.2], label='move')
    if videos:
        database = {name: dict(v, annotations=[action]) for name, v in videos.items()}
        path.write_text(json.dumps(dict(database=database)))
    return ['--ann', path]


def parse(videos, out, *options):
    return tool.parse_args([str(option) for option in (videos, out, *options)])


def extract(*options):
    return tool.extract_clips(parse(*options))


def indices(times, *options):
    """The source frames of the sampled ones."""
    return tool.sampled_indices(parse('', '', *options), times)


def sampled(*options):
    """The levels of the extracted frames of the grey video."""
    reader, args = VideoReader(VIDEO), parse('', '', *RGB, *options)
    found = tool.sampled_indices(args, reader.times)
    clips = tool.sampled_clips(args, reader, found, ['RGB'])
    return shown(frame for _, clip in clips for frame in clip)


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Two videos (13 and 20 sampled frames), a damaged one, and an annotation."""
    folder = tmp_path_factory.mktemp('videos')
    shutil.copy(VIDEO, folder / 'grey.mp4')
    write_video(folder / 'square.mp4', square(60), 30)
    (folder / 'broken.mp4').write_bytes(b'no video at all' * 100)
    (folder / 'notes.txt').write_text('not a video')
    grey = dict(duration=40 / 30, file='grey.mp4', subset='training')
    ann(folder, grey=grey, square=dict(duration=2.0, fps=30, subset='test'))
    return folder


@pytest.fixture(scope='module')
def extracted(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp('out')
    assert extract(videos, out, *BOTH, *ann(videos), '--workers', 2) == {}
    return out


def test_flow_is_between_sampled_frames(videos, extracted):
    stored = np.load(extracted / 'flow_npy' / 'square.npy')
    frames = VideoReader(videos / 'square.mp4').read(range(2, 60, 3))
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    movements = map(flow.build_flow('dis'), grey, grey[1:])
    fields = [flow.encode_flow(movement, 20) for movement in movements]
    np.testing.assert_array_equal(stored, [*fields, fields[-1]])


def test_image_folders_are_read(videos, tmp_path):
    options = [*BOTH, *ann(videos), '--layout', 'frames']
    assert extract(videos, tmp_path, *options) == {}
    names = sorted(p.name for p in (tmp_path / 'rgb_frames' / 'grey').iterdir())
    assert names == [f'img_{number:05}.jpg' for number in range(1, 14)]
    more = dict(source_type='frames', clip_len=20, pipeline=[LOAD], test_mode=True)
    place = str(videos / 'ann.json'), str(tmp_path)
    rgb = TALDataset(*place, dict(video='rgb_frames'), **more)
    assert shown(rgb[0]['imgs'][:13]) == list(range(2, 40, 3))
    more.update(data_prefix=dict(video='flow_frames'), modality='Flow')
    fields = TALDataset(*place, **more)[1]['imgs']
    assert {field.shape for field in fields} == {(SIDE, SIDE, 2)}
    assert np.median(fields[5][11:17, 12:17, 0]) == pytest.approx(147, abs=6)
    assert extract(videos, tmp_path, *options, '--dry-run') == {}


def test_only_what_is_missing_or_damaged_is_done(videos, extracted, tmp_path, capsys):
    out = tmp_path / 'out'
    shutil.copytree(extracted, out)
    whole, torn = (out / 'rgb_npy' / f'{name}.npy' for name in ('square', 'grey'))
    torn.write_bytes(torn.read_bytes()[:-1])
    before = whole.stat().st_mtime_ns
    assert extract(videos, out, *BOTH, *ann(videos)) == {}
    expected = '1 are there already; to do: 1 videos, about 13 frames'
    assert expected in capsys.readouterr().out
    assert whole.stat().st_mtime_ns == before
    assert torn.read_bytes() == (extracted / 'rgb_npy' / 'grey.npy').read_bytes()


def test_failures_are_listed_and_the_rest_is_done(
    videos, tmp_path, monkeypatch, capsys
):
    entries = dict.fromkeys(('broken', 'gone', 'grey', 'square'), dict(duration=1.0))
    options = [videos, tmp_path / 'out', *RGB, *ann(tmp_path, **entries)]
    monkeypatch.setattr(sys, 'argv', ['tool', *map(str, options)])
    with pytest.raises(SystemExit) as error:
        tool.main()
    assert error.value.code == 1
    output = capsys.readouterr().out
    assert '2 of 4 videos failed:\n  gone: ' in output
    assert 'gone.mp4: no such video file\n  broken: ' in output
    assert 'broken.mp4: cannot be opened as a video' in output
    made = sorted(path.name for path in (tmp_path / 'out' / 'rgb_npy').iterdir())
    assert made == ['extraction.json', 'grey.npy', 'square.npy']


def in_child(function, *args):
    process = multiprocessing.get_context('fork').Process(target=function, args=args)
    process.start()
    return process


def test_a_killed_extraction_leaves_nothing_that_looks_whole(tmp_path):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    videos.mkdir()
    write_video(videos / 'long.mp4', square(120, 96), 30)
    # Slow enough to be hit in the middle.
    args = parse(videos, out, *BOTH, '--fps', 30, '--side', 96, '--flow-method', 'tvl1')
    process = in_child(tool.extract_clips, args)
    deadline = time.monotonic() + 60
    while len(partial := sorted(out.glob('*/.*.partial'))) < 2:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    host, _, pid = partial[0].name.split('.')[1].rpartition('-')
    # A zombie has none.
    program = Path(f'/proc/{pid}/exe')
    assert program.exists()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not list(out.glob('*/*.npy'))
    # The process that wrote ends with its parent.
    while program.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(tool.plan(args, find_videos(str(videos))[0], 1)) == 1
    # Leftovers of living processes and of other machines stay.
    others = [f'.{host}-{os.getpid()}.x.partial', '.othermachine-1.x.partial']
    for name in others:
        (out / 'rgb_npy' / name).mkdir()
    for path in partial:
        # As if the machine had been restarted: the process is gone.
        path.rename(path.with_name(f'.{host}-999999999.x.partial'))
    for folder in out.iterdir():
        tool.remove_leftovers(folder)
    left = sorted(path.name for path in out.glob('*/.*.partial'))
    assert left == sorted(others)


def test_other_settings_unknown_files_and_a_full_disk_are_refused(
    videos, extracted, tmp_path
):
    other = [*RGB, '--modalities', 'Flow', '--flow-method', 'farneback', '--dry-run']
    # Nothing would have to be done, and yet it is not what was asked for.
    with pytest.raises(UserError, match="flow_method was 'dis' and is now 'farneback'"):
        extract(videos, extracted, *other, *ann(videos))
    with pytest.raises(UserError, match=r'\d{6,}\.\d GB are needed'):
        extract(videos, tmp_path / 'not' / 'yet', '--num-frames', 10**12)
    assert not list(tmp_path.iterdir())
    (tmp_path / 'rgb_npy').mkdir()
    (tmp_path / 'rgb_npy' / 'grey.npy').touch()
    with pytest.raises(UserError, match=r'no extraction\.json'):
        extract(videos, tmp_path, *RGB)


def test_dry_run_writes_nothing_and_the_estimate_is_exact(videos, extracted, capsys):
    args = parse(videos, extracted.parent / 'never', *BOTH, *ann(videos), '--dry-run')
    assert tool.extract_clips(args) == {}
    assert not args.out.exists()
    assert 'about 33 frames, 0.2 MB' in capsys.readouterr().out
    arrays = sorted(extracted.glob('*/*.npy'))
    estimates = [tool.num_bytes(args, m, n) for m in ('Flow', 'RGB') for n in (13, 20)]
    assert [path.stat().st_size for path in arrays] == estimates


def test_which_videos(videos, tmp_path):
    names = [video.video_id for video in find_videos(str(videos))[0]]
    assert names == ['broken', 'grey', 'square']
    found, missing = find_videos(str(videos), str(videos / 'ann.json'), ['test'])
    assert [video.video_id for video in found] == ['square'] and not missing
    assert found[0].annotated_fps == 30
    (tmp_path / 'empty').mkdir()
    for name in ('a.mp4', 'a.avi'):
        (tmp_path / name).touch()
    for folder, more, message in (
        (tmp_path, {}, r'a\.avi and a\.mp4.*both become a'),
        (tmp_path / 'empty', {}, 'no video file'),
        (tmp_path / 'nothing', {}, 'no such folder'),
        (videos, dict(subsets=['test']), 'need an annotation'),
    ):
        with pytest.raises(UserError, match=message):
            find_videos(str(folder), **more)


def test_ids_stay_in_their_folder(tmp_path):
    args = parse('videos', tmp_path)
    inside = tool.target(args, 'RGB', 'part/video')
    assert inside == tmp_path / 'rgb_npy' / 'part' / 'video.npy'
    for video_id in ('../video', '../../etc/video', '/etc/video'):
        with pytest.raises(UserError, match='leads out of'):
            tool.target(args, 'RGB', video_id)


@pytest.mark.parametrize(
    'options',
    (
        '--side 8, --flow-bound 0, --fps 0, --fps nan, --num-frames 0, --workers 0, '
        '--modalities, --modalities Depth, --layout mp4, --flow-method raft, '
        '--fps 10 --num-frames 5'
    ).split(', '),
)
def test_impossible_settings(options, capsys):
    name = options.split()[0]
    with pytest.raises((UserError, SystemExit)) as error:
        parse('videos', 'out', *options.split())
    message = f'{error.value} {capsys.readouterr().err}'
    assert name.strip('-').replace('-', '_') in message.replace('-', '_')


def test_memory_does_not_grow_with_the_length(tmp_path):
    def measure():
        extract(videos, videos, *BOTH)
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        (videos / 'peak_kib').write_text(str(children))

    peaks = []
    for num_frames in (150, 2000):
        videos = tmp_path / str(num_frames)
        videos.mkdir()
        write_video(videos / 'v.mp4', square(num_frames, 128), 30)
        # In a process of its own, whose children are the workers of this run only.
        in_child(measure).join(100)
        peaks.append(int((videos / 'peak_kib').read_text()))
    # 667 frames as they are decoded, 33 MB, would show.
    assert peaks[1] - peaks[0] < 12 * 1024


def test_what_cannot_be_written_is_told_and_leaves_nothing(videos, tmp_path):
    def extract_small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        failed = extract(videos, tmp_path, *BOTH, *ann(videos))
        (tmp_path / 'failed.json').write_text(json.dumps(failed))

    in_child(extract_small_files_only).join(100)
    failed = json.loads((tmp_path / 'failed.json').read_text())
    assert sorted(failed) == ['grey', 'square']
    for reason in failed.values():
        assert 'File too large' in reason and 'decoded' not in reason
    left = sorted(path.name for path in tmp_path.glob('*/*'))
    assert left == ['extraction.json'] * 2


# Which frames

RATES = [Fraction(n) for n in (10, 24, 25, 30, 50)]
RATES += [Fraction(25, 2), *(Fraction(n * 1000, 1001) for n in (24, 30, 60))]


def accumulate(num_frames, fps, sample_fps):
    """AFSD's loop: a frame is kept when 1 / sample_fps has passed since the last."""
    kept, passed = [], Fraction(0)
    for index in range(num_frames):
        passed += 1
        if passed >= fps / sample_fps:
            kept.append(index)
            passed -= fps / sample_fps
    return kept


@settings(max_examples=60, deadline=None)
@given(
    num_frames=st.integers(10, 3000),
    fps=st.sampled_from(RATES),
    sample_fps=st.sampled_from([5, 10]),
)
def test_frames_and_counts_are_those_of_afsd(num_frames, fps, sample_fps):
    times = FrameTimes(num_frames, float(fps))
    found = indices(times, '--fps', sample_fps).tolist()
    # A video shorter than one interval still has one frame.
    assert found == accumulate(num_frames, fps, sample_fps) or [num_frames - 1]


@settings(max_examples=60, deadline=None)
@given(num_source=st.integers(1, 5000), num_frames=st.integers(1, 900))
def test_fixed_number_of_frames_covers_every_video_evenly(num_source, num_frames):
    found = indices(FrameTimes(num_source, 29.97), '--num-frames', num_frames)
    assert len(found) == num_frames
    assert found[0] >= 0 and found[-1] == num_source - 1
    steps, ratio = np.diff(found), num_source / num_frames
    assert ((steps >= np.floor(ratio)) & (steps <= np.ceil(ratio))).all()


# Frame 0 stays for a second, the others for 0.1 s each, the last for a thirtieth.
VARYING = FrameTimes(10, 3.66, np.r_[0.0, 1.0 + 0.1 * np.arange(9)], 1.8 + 1 / 30)


@pytest.mark.parametrize(
    ('times', 'options', 'expected'),
    [
        (FrameTimes(3, 25.0), ['--num-frames', 6], [0, 0, 1, 1, 2, 2]),
        (FrameTimes(1536, 25.0), ['--num-frames', 768], list(range(1, 1536, 2))),
        (VARYING, [], [0] * 10 + list(range(1, 9))),
        # Evenly over the 1.83 seconds, not over the ten frames.
        (VARYING, ['--num-frames', 4], [0, 0, 4, 9]),
    ],
)
def test_sampled_frames_by_hand(times, options, expected):
    assert indices(times, *options).tolist() == expected


def test_video_is_read_at_the_rate():
    assert sampled() == sampled('--side', 16) == list(range(2, 40, 3))
    for count in (1, 7, 24, 40, 100):
        expected = indices(FrameTimes(40, 30.0), '--num-frames', count).tolist()
        assert sampled('--side', 16, '--num-frames', count) == expected


def test_a_cut_video_is_filled_up_or_refused(monkeypatch):
    original, end = VideoReader._frame, 0
    monkeypatch.setattr(
        VideoReader, '_frame', lambda self, i: original(self, i) if i < end else None
    )
    # Of 40 frames at 30 fps, in pieces of 32 sampled frames.
    for end in (16, 34, 35):
        found = sampled('--num-frames', 40)
        assert found == [*range(end), *[end - 1] * (40 - end)]
    for end in (0, 5):
        message = rf'index_brightness\.mp4: .* cut off at frame {end} of 40'
        with pytest.raises(VideoReadError, match=message):
            sampled('--num-frames', 40)


# Windows of a video are those of what was extracted from it

CROP = [
    dict(type='CenterCrop', crop_size=28),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
LOAD = dict(type='LoadClip', pad_value=100)
SCALED = dict(LOAD, scale=(SIDE, SIDE))
RESIZE = dict(type='Resize', scale=(SIDE, SIDE), keep_ratio=False)
LAYOUT = dict(sample_fps=10, clip_len=16, window_stride=9)
# Steps, and the modality of the array that the data set reads instead of the video.
KINDS = {
    'video': ([LOAD, RESIZE], None),
    'scaled while decoding': ([SCALED], None),
    'shuffled': ([LOAD, RESIZE, dict(type='ShuffleFrames')], None),
    'array': ([LOAD], 'RGB'),
    'flow': ([LOAD], 'Flow'),
    'both': ([SCALED], None),
    'both, resized': ([LOAD, RESIZE], None),
}


@pytest.fixture(scope='module')
def root(tmp_path_factory, make_video):
    """A video of 64 sampled frames, and what is extracted from it."""
    root = tmp_path_factory.mktemp('root')
    make_video(root / 'v.mp4', 160, 25, size=(60, 44))
    options = [*ann(root, v=dict(duration=6.4)), *BOTH, '--flow-method', 'farneback']
    assert extract(root, root, *options) == {}
    return root


@pytest.mark.parametrize(
    ('kind', 'layout', 'from_file'),
    [
        *((kind, {}, from_file) for kind in KINDS for from_file in (True, False)),
        *((kind, dict(clip_len=80), True) for kind in ('video', 'flow', 'both')),
        ('video', dict(num_frames_per_video=16), True),
    ],
)
def test_same_windows_as_the_data_set(root, kind, layout, from_file):
    steps, stored = KINDS[kind]
    append = dict(type='AppendClip', folder='flow_npy', data_root=str(root))
    steps = [*steps, *[append] * ('both' in kind), *CROP]
    settings = {**LAYOUT, 'modality': stored or 'RGB', **layout}
    source, folder = ('npy', f'{stored.lower()}_npy') if stored else ('video', '')
    more = dict(settings, source_type=source, pipeline=steps, test_mode=True)
    dataset = TALDataset('ann.json', str(root), dict(video=folder), **more)
    np.random.seed(0)
    expected = [dataset[index] for index in range(len(dataset))]
    assert len(expected) == (1 if layout else 7)
    # The same pipeline, of the open video.
    reader = VideoReader(root / 'v.mp4', num_threads=0)
    if not from_file:
        reader = ArrayReader((image for _, image in reader.frames()), 25)
    settings.update(flow_method='farneback', frame_size=SIDE if stored else None)
    keys = dataset.get_data_info(0).keys() - {'sample_idx'}
    names = ['window_offset', 'sample_fps', 'clip_len', 'video_id']
    # Of a generator they are not known before its end.
    names += ['num_sampled_frames', 'duration'] * from_file
    channels = {'flow': 2, 'both': 5, 'both, resized': 5}.get(kind, 3)
    np.random.seed(0)
    windows = video_windows(reader, 'v', classes=('move',), **settings)
    for window, theirs in zip(windows, expected, strict=True):
        assert window.keys() == keys | {'reader', 'frame_size', 'flow_method'}
        mine = dataset.pipeline(window)
        assert mine['inputs'].shape == (channels, settings['clip_len'], 28, 28)
        np.testing.assert_array_equal(mine['inputs'], theirs['inputs'])
        for name in names:
            assert mine['data_samples'].get(name) == theirs['data_samples'].get(name)
        # What is filled up has a value of its own in each stream.
        assert (mine['inputs'][:3, 64:] == 100).all()
        assert (mine['inputs'][3:, 64:] == 127.5).all()
