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
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets import ArrayReader, TALDataset, VideoReader, VideoReadError
from mmtal_mts.datasets.extraction import (
    ExtractionSettings,
    Job,
    extract_video,
    plan_extraction,
    remove_leftovers,
    sampled_clips,
)
from mmtal_mts.datasets.flow import FlowReader, build_flow, encode_flow
from mmtal_mts.datasets.sources import VideoFile, find_videos
from mmtal_mts.datasets.windows import video_windows
from mmtal_mts.structures.timebase import FrameTimes
from mmtal_mts.utils import UserError

SOURCE = Path(__file__).parents[1] / 'data' / 'index_brightness.mp4'
SIDE = 32  # that of the video: nothing is scaled
BOTH = ExtractionSettings(('RGB', 'Flow'), side=SIDE, flow_method='dis')


def write_video(path, num_frames, side=SIDE):
    """A bright square that moves to the right by one pixel per frame, 30 fps."""
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 30, (side, side)
    )
    for index in range(num_frames):
        image = np.full((side, side, 3), 60, dtype=np.uint8)
        image[8:20, 2 + index % 16 : 14 + index % 16] = 200
        writer.write(image)
    writer.release()


@pytest.fixture(scope='module')
def extract_clips(load_tool):
    return load_tool('dataset_converters/extract_clips.py').extract_clips


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Two videos (13 and 20 sampled frames), a damaged one, and an annotation."""
    folder = tmp_path_factory.mktemp('videos')
    shutil.copy(SOURCE, folder / 'grey.mp4')
    write_video(folder / 'square.avi', 60)
    (folder / 'broken.mp4').write_bytes(b'no video at all' * 100)
    (folder / 'notes.txt').write_text('not a video')
    database = {
        'grey': dict(duration=40 / 30, file='grey.mp4', subset='training'),
        'square': dict(duration=2.0, fps=30, subset='test'),
    }
    for entry in database.values():
        entry['annotations'] = [dict(segment=[0.1, 1.2], label='move')]
    (folder / 'ann.json').write_text(json.dumps(dict(database=database)))
    return folder


@pytest.fixture(scope='module')
def extracted(videos, extract_clips, tmp_path_factory):
    out = tmp_path_factory.mktemp('out')
    ann = str(videos / 'ann.json')
    assert extract_clips(str(videos), out, BOTH, ann_file=ann, workers=2) == {}
    return out


def dataset(videos, folder, **more):
    arguments = dict(
        ann_file=str(videos / 'ann.json'),
        data_prefix=dict(video=str(folder)),
        clip_len=8,
        window_stride=4,
        pipeline=[dict(type='LoadClip')],
        test_mode=True,
    )
    return TALDataset(**{**arguments, **more})


def windows(dataset):
    return {
        (item['video_id'], item['window_offset']): np.stack(item['imgs'])
        for item in (dataset[i] for i in range(len(dataset)))
    }


def test_arrays_hold_the_same_windows_as_the_videos(videos, extracted):
    direct = windows(dataset(videos, videos))
    arrays = windows(dataset(videos, extracted / 'rgb_npy', source_type='npy'))
    assert list(arrays) == list(direct) and len(arrays) == 3 + 4
    for key, frames in arrays.items():
        np.testing.assert_array_equal(frames, direct[key])


def test_flow_is_between_sampled_frames(videos, extracted):
    flow = windows(
        dataset(videos, extracted / 'flow_npy', source_type='npy', modality='Flow')
    )
    assert {clip.shape for clip in flow.values()} == {(8, SIDE, SIDE, 2)}
    reader = VideoReader(videos / 'square.avi')
    grey = [
        cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        for frame in reader.read(range(2, 60, 3))
    ]
    estimate = build_flow('dis')
    fields = [
        encode_flow(estimate(*pair), 20) for pair in zip(grey, grey[1:], strict=False)
    ]
    fields.append(fields[-1])
    np.testing.assert_array_equal(flow['square', 4], np.stack(fields[4:12]))
    # 3 source frames are 3 pixels to the right, 19 levels above the middle.
    moved = fields[1][11:17, 12:17, 0].astype(float)
    assert abs(np.median(moved) - (127.5 + 3 * 255 / 40)) < 3


def test_image_folders_are_read(videos, tmp_path, extract_clips):
    settings = ExtractionSettings(
        ('RGB', 'Flow'), layout='frames', side=SIDE, flow_method='dis'
    )
    ann = str(videos / 'ann.json')
    assert extract_clips(str(videos), tmp_path, settings, ann_file=ann) == {}
    names = sorted(p.name for p in (tmp_path / 'rgb_frames' / 'grey').iterdir())
    assert names == [f'img_{number:05}.jpg' for number in range(1, 14)]
    rgb = dict(source_type='frames', source_fps=10)
    grey = windows(dataset(videos, tmp_path / 'rgb_frames', **rgb))['grey', 4]
    levels = [round((float(img.mean()) - 20) / 5) for img in grey]
    assert levels == list(range(14, 38, 3))
    flow = windows(dataset(videos, tmp_path / 'flow_frames', modality='Flow', **rgb))[
        'square', 4
    ]
    assert flow.shape == (8, SIDE, SIDE, 2)
    assert np.median(flow[1][11:17, 12:17, 0]) == pytest.approx(147, abs=6)


def test_fixed_number_of_frames_is_one_window_per_video(
    videos, tmp_path, extract_clips
):
    settings = ExtractionSettings(fps=None, num_frames=24, side=SIDE)
    ann = str(videos / 'ann.json')
    assert extract_clips(str(videos), tmp_path, settings, ann_file=ann) == {}
    both = windows(
        dataset(
            videos,
            tmp_path / 'rgb_npy',
            source_type='npy',
            num_frames_per_video=24,
            clip_len=24,
        )
    )
    assert list(both) == [('grey', 0), ('square', 0)]
    levels = [round((float(img.mean()) - 20) / 5) for img in both['grey', 0]]
    assert levels == [-(-(k + 1) * 40 // 24) - 1 for k in range(24)]


def test_only_what_is_missing_or_damaged_is_done(
    videos, extracted, tmp_path, capsys, extract_clips
):
    out = tmp_path / 'out'
    shutil.copytree(extracted, out)
    whole = out / 'rgb_npy' / 'square.npy'
    torn = out / 'rgb_npy' / 'grey.npy'
    torn.write_bytes(torn.read_bytes()[:-1])
    before = whole.stat().st_mtime_ns
    ann = str(videos / 'ann.json')
    assert extract_clips(str(videos), out, BOTH, ann_file=ann) == {}
    assert (
        '1 are there already; to do: 1 videos, about 13 frames'
        in capsys.readouterr().out
    )
    assert whole.stat().st_mtime_ns == before
    assert torn.read_bytes() == (extracted / 'rgb_npy' / 'grey.npy').read_bytes()


def test_failures_are_listed_and_the_rest_is_done(
    videos, tmp_path, capsys, extract_clips
):
    failed = extract_clips(str(videos), tmp_path, ExtractionSettings(side=SIDE))
    assert list(failed) == ['broken']
    assert 'broken.mp4: cannot be opened as a video' in failed['broken']
    output = capsys.readouterr().out
    assert '1 of 3 videos failed:' in output
    made = sorted(path.name for path in (tmp_path / 'rgb_npy').iterdir())
    assert made == ['extraction.json', 'grey.npy', 'square.npy']


def test_the_tool_says_by_its_exit_status_whether_videos_failed(
    videos, tmp_path, load_tool, monkeypatch, capsys
):
    tool = load_tool('dataset_converters/extract_clips.py')
    command = ['extract_clips.py', str(videos), str(tmp_path / 'out'), '--side', '16']
    monkeypatch.setattr(sys, 'argv', command)
    with pytest.raises(SystemExit) as error:
        tool.main()
    assert error.value.code == 1
    assert 'broken: ' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'rgb_npy' / 'grey.npy').is_file()


def is_running(pid):
    try:
        return 'State:\tZ' not in Path(f'/proc/{pid}/status').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_extraction_leaves_nothing_that_looks_whole(tmp_path, extract_clips):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    videos.mkdir()
    write_video(videos / 'long.avi', 120, side=96)
    # Slow enough to be hit in the middle.
    settings = ExtractionSettings(('RGB', 'Flow'), fps=30, side=96, flow_method='tvl1')
    process = multiprocessing.get_context('fork').Process(
        target=extract_clips, args=(str(videos), out, settings)
    )
    process.start()
    deadline = time.monotonic() + 60
    while len(partial := sorted(out.glob('*/.*.partial'))) < 2:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    pid = int(partial[0].name.split('-')[-1].split('.')[0])
    assert is_running(pid)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not list(out.glob('*/*.npy'))
    # The process that wrote ends with its parent.
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert len(plan_extraction(find_videos(str(videos))[0], out, settings)) == 1
    for path in partial:
        # As if the machine had been restarted: the process is gone.
        path.rename(path.with_name(path.name.replace(f'-{pid}.', '-999999999.')))
    for modality in settings.modalities:
        remove_leftovers(settings.folder(out, modality))
    assert not list(out.glob('*/.*.partial'))


def test_partial_files_of_living_processes_and_other_machines_stay(videos, tmp_path):
    host = os.uname().nodename.split('.')[0]
    names = {
        'living': f'.a.npy.{host}-{os.getpid()}.partial',
        'elsewhere': '.b.npy.othermachine-1.partial',
        'gone': f'.c.npy.{host}-999999999.partial',
    }
    for name in names.values():
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {names['living'], names['elsewhere']}


def test_a_failure_in_the_middle_leaves_nothing(videos, tmp_path, monkeypatch):
    job = Job(VideoFile('square', str(videos / 'square.avi')), ('RGB', 'Flow'), 20, 0)

    def torn(reader, *args):
        raise VideoReadError('torn')

    monkeypatch.setattr('mmtal_mts.datasets.extraction.sampled_clips', torn)
    with pytest.raises(VideoReadError, match='torn'):
        extract_video(job, tmp_path, BOTH)
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


def test_other_settings_and_unknown_files_are_refused(
    videos, extracted, tmp_path, extract_clips
):
    ann = str(videos / 'ann.json')
    other = ExtractionSettings(('Flow',), side=SIDE, flow_method='farneback')
    # Nothing would have to be done, and yet it is not what was asked for.
    with pytest.raises(UserError, match="flow_method was 'dis' and is now 'farneback'"):
        extract_clips(str(videos), extracted, other, ann_file=ann, dry_run=True)
    (tmp_path / 'rgb_npy').mkdir()
    (tmp_path / 'rgb_npy' / 'grey.npy').touch()
    with pytest.raises(UserError, match=r'no extraction\.json'):
        extract_clips(str(videos), tmp_path, ExtractionSettings(side=SIDE))


def test_dry_run_writes_nothing_and_the_estimate_is_exact(
    videos, extracted, capsys, extract_clips
):
    ann = str(videos / 'ann.json')
    out = extracted.parent / 'never'
    assert extract_clips(str(videos), out, BOTH, ann_file=ann, dry_run=True) == {}
    assert not out.exists()
    assert 'about 33 frames, 0.2 MB' in capsys.readouterr().out
    jobs = plan_extraction(find_videos(str(videos), ann)[0], out, BOTH)
    arrays = sorted(extracted.glob('*/*.npy'))
    num_bytes = sum(job.num_bytes for job in jobs)
    assert num_bytes == sum(path.stat().st_size for path in arrays)
    assert len(arrays) == 4


def test_full_disk_is_told_before_the_start(load_tool, tmp_path):
    tool = load_tool('dataset_converters/extract_clips.py')
    with pytest.raises(UserError, match='1000000000.0 GB are needed'):
        tool.check_disk_space(10**18, tmp_path / 'not' / 'yet')


def test_annotated_videos_that_are_missing_are_failures(
    videos, tmp_path, extract_clips
):
    database = {'gone': dict(duration=1.0, subset='training', annotations=[])}
    ann = tmp_path / 'ann.json'
    ann.write_text(json.dumps(dict(database=database, classes=['move'])))
    failed = extract_clips(str(videos), tmp_path / 'out', BOTH, ann_file=str(ann))
    assert list(failed) == ['gone'] and 'gone.mp4: no such video file' in failed['gone']


def test_which_videos(videos, tmp_path):
    names = [video.video_id for video in find_videos(str(videos))[0]]
    assert names == ['broken', 'grey', 'square']
    found, missing = find_videos(str(videos), str(videos / 'ann.json'), ['test'])
    assert [video.video_id for video in found] == ['square'] and not missing
    assert found[0].annotated_fps == 30
    empty = tmp_path / 'empty'
    empty.mkdir()
    for name in ('a.mp4', 'a.avi'):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r'a\.mp4 and a\.avi.*both become a'):
        find_videos(str(tmp_path))
    with pytest.raises(UserError, match='no video file'):
        find_videos(str(empty))
    with pytest.raises(UserError, match='no such folder'):
        find_videos(str(tmp_path / 'nothing'))
    with pytest.raises(UserError, match='need an annotation'):
        find_videos(str(videos), subsets=['test'])


def test_ids_stay_in_their_folder(tmp_path):
    settings = ExtractionSettings()
    inside = settings.target(tmp_path, 'RGB', 'part/video')
    assert inside == tmp_path / 'rgb_npy' / 'part' / 'video.npy'
    for video_id in ('../video', '../../etc/video', '/etc/video'):
        with pytest.raises(UserError, match='leads out of'):
            settings.target(tmp_path, 'RGB', video_id)


@pytest.mark.parametrize(
    'setting',
    [
        dict(modalities=()),
        dict(modalities=('Depth',)),
        dict(layout='mp4'),
        dict(side=8),
        dict(flow_method='raft'),
        dict(flow_bound=0),
        dict(fps=None),
        dict(fps=10, num_frames=5),
        dict(fps=0),
        dict(fps=None, num_frames=0),
        dict(fps=float('nan')),
    ],
)
def test_impossible_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        ExtractionSettings(**setting)


def _peak_memory(extract_clips, videos, out):
    extract_clips(str(videos), out, BOTH)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (out / 'peak_kib').write_text(str(children))


def test_memory_does_not_grow_with_the_length(tmp_path, extract_clips):
    peaks = []
    for num_frames in (150, 2000):
        videos, out = tmp_path / f'videos{num_frames}', tmp_path / f'out{num_frames}'
        videos.mkdir()
        write_video(videos / 'v.avi', num_frames, side=128)
        # In a process of its own, whose children are the workers of this run only.
        process = multiprocessing.get_context('fork').Process(
            target=_peak_memory, args=(extract_clips, videos, out)
        )
        process.start()
        process.join(100)
        assert process.exitcode == 0
        peaks.append(int((out / 'peak_kib').read_text()))
    # 667 frames as they are decoded, 33 MB, would show.
    assert peaks[1] - peaks[0] < 12 * 1024


def _extract_small_files_only(extract_clips, videos, out):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    failed = extract_clips(str(videos), out, BOTH, ann_file=str(videos / 'ann.json'))
    (out / 'failed.json').write_text(json.dumps(failed))


def test_what_cannot_be_written_is_told_and_leaves_nothing(
    videos, tmp_path, extract_clips
):
    process = multiprocessing.get_context('fork').Process(
        target=_extract_small_files_only, args=(extract_clips, videos, tmp_path)
    )
    process.start()
    process.join(60)
    failed = json.loads((tmp_path / 'failed.json').read_text())
    assert sorted(failed) == ['grey', 'square']
    for reason in failed.values():
        assert 'File too large' in reason and 'decoded' not in reason
    left = sorted(path.name for path in tmp_path.glob('*/*') if path.is_file())
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


def sampled(reader, settings):
    """Grey levels, or numbers, of the extracted frames."""
    indices = settings.indices(reader.times)
    clips = sampled_clips(reader, indices, settings, ['RGB'])
    return [frame for clip in clips for frame in clip['RGB']]


def levels(frames):
    return [round((float(frame.mean()) - 20) / 5) for frame in frames]


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 3000), st.sampled_from(RATES), st.sampled_from([5, 10]))
def test_frames_and_counts_are_those_of_afsd(num_frames, fps, sample_fps):
    kept = accumulate(num_frames, fps, sample_fps)
    times = FrameTimes(num_frames, float(fps))
    indices = ExtractionSettings(fps=float(sample_fps)).indices(times)
    # A video shorter than one interval still has one frame.
    assert indices.tolist() == kept or [num_frames - 1]


def fixed(num_frames, **more):
    return ExtractionSettings(fps=None, num_frames=num_frames, **more)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 900))
def test_fixed_number_of_frames_covers_every_video_evenly(num_source, num_frames):
    indices = fixed(num_frames).indices(FrameTimes(num_source, 29.97))
    assert len(indices) == num_frames
    assert indices[0] >= 0 and indices[-1] == num_source - 1
    steps = np.diff(indices)
    ratio = num_source / num_frames
    assert ((steps >= np.floor(ratio)) & (steps <= np.ceil(ratio))).all()


def test_fixed_number_closed_forms():
    assert fixed(6).indices(FrameTimes(3, 25.0)).tolist() == [0, 0, 1, 1, 2, 2]
    indices = fixed(768).indices(FrameTimes(1536, 25.0))
    assert indices.tolist() == list(range(1, 1536, 2))


def test_video_is_read_at_the_rate():
    frames = sampled(VideoReader(SOURCE), ExtractionSettings(side=16))
    assert levels(frames) == list(range(2, 40, 3))
    assert {frame.shape for frame in frames} == {(16, 16, 3)}
    for count in (1, 7, 40, 100):
        made = fixed(count, side=16)
        expected = made.indices(FrameTimes(40, 30.0)).tolist()
        assert levels(sampled(VideoReader(SOURCE), made)) == expected


def test_a_varying_rate_is_sampled_by_time(make_video, number_of, tmp_path):
    # Frame 0 stays for a second, the others for 0.1 s each, the last for no time.
    times = [0.0, *(1.0 + 0.1 * k for k in range(9))]
    path = make_video(tmp_path / 'v.mp4', 10, times=times, size=(64, 48))

    def numbers(settings):
        return [number_of(frame) for frame in sampled(VideoReader(path), settings)]

    at_10_fps = ExtractionSettings(fps=10, side=32)
    assert numbers(at_10_fps) == [0] * 10 + list(range(1, 9))
    # Evenly over the 1.8 seconds, not over the ten frames.
    assert numbers(fixed(4, side=32)) == [0, 0, 4, 9]


# Windows of a video are those of what was extracted from it

CROP = [
    dict(type='CenterCrop', crop_size=28),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
LOAD = dict(type='LoadClip', pad_value=100)
SCALED = dict(LOAD, scale=(SIDE, SIDE))
RESIZE = dict(type='Resize', scale=(SIDE, SIDE), keep_ratio=False)
APPEND = dict(type='AppendClip', folder='flow_npy')
LAYOUT = dict(sample_fps=10, clip_len=16, window_stride=9)
KINDS = {
    'video': ([LOAD, RESIZE, *CROP], {}),
    'scaled while decoding': ([SCALED, *CROP], {}),
    'shuffled': ([LOAD, RESIZE, dict(type='ShuffleFrames'), *CROP], {}),
    'array': ([LOAD, *CROP], dict(source_type='npy', folder='rgb_npy')),
    'flow': (
        [LOAD, *CROP],
        dict(source_type='npy', folder='flow_npy', modality='Flow'),
    ),
    'both': ([SCALED, APPEND, *CROP], {}),
    'both, resized': ([LOAD, RESIZE, APPEND, *CROP], {}),
}


@pytest.fixture(scope='module')
def root(tmp_path_factory, make_video):
    """A video of 64 sampled frames, and what is extracted from it."""
    root = tmp_path_factory.mktemp('root')
    path = make_video(root / 'v.mp4', 160, 25, size=(60, 44))
    entry = dict(duration=6.4, annotations=[dict(segment=[1, 2], label='a')])
    (root / 'ann.json').write_text(json.dumps(dict(database=dict(v=entry))))
    made = ExtractionSettings(('RGB', 'Flow'), side=SIDE, flow_method='farneback')
    (job,) = plan_extraction([VideoFile('v', path)], root, made)
    extract_video(job, root, made)
    return root


def both_ways(root, kind, reader, **layout):
    """Windows from the data set, and from the open video by the same pipeline."""
    steps, more = KINDS[kind]
    more = dict(more)
    steps = [
        dict(step, data_root=str(root)) if step['type'] == 'AppendClip' else dict(step)
        for step in steps
    ]
    layout = {**LAYOUT, **layout}
    dataset = TALDataset(
        'ann.json',
        str(root),
        dict(video=more.pop('folder', '')),
        pipeline=steps,
        test_mode=True,
        **layout,
        **more,
    )
    np.random.seed(0)
    expected = [dataset[index] for index in range(len(dataset))]
    windows = video_windows(
        reader,
        'v',
        modality=dataset.modality,
        frame_size=SIDE if kind in ('array', 'flow') else None,
        flow_method='farneback',
        **layout,
    )
    np.random.seed(0)
    return expected, [dataset.pipeline(window) for window in windows]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('from_file', [True, False])
def test_same_windows_as_the_data_set(root, kind, from_file):
    file = VideoReader(root / 'v.mp4', num_threads=0)
    frames = (image for _, image in VideoReader(root / 'v.mp4').frames())
    expected, found = both_ways(
        root, kind, file if from_file else ArrayReader(frames, 25)
    )
    assert len(found) == len(expected) == 7
    for mine, theirs in zip(found, expected, strict=True):
        channels = {'flow': 2, 'both': 5, 'both, resized': 5}.get(kind, 3)
        assert mine['inputs'].shape == (channels, 16, 28, 28)
        np.testing.assert_array_equal(mine['inputs'], theirs['inputs'])
        for key in ('window_offset', 'sample_fps', 'clip_len', 'video_id'):
            assert mine['data_samples'].get(key) == theirs['data_samples'].get(key)


@pytest.mark.parametrize('kind', ['video', 'flow', 'both'])
def test_short_video_is_filled_up_alike(root, kind):
    reader = VideoReader(root / 'v.mp4')
    (theirs,), (mine,) = both_ways(root, kind, reader, clip_len=80)
    np.testing.assert_array_equal(mine['inputs'], theirs['inputs'])
    # Each stream has a value of its own.
    assert (mine['inputs'][:3, 64:] == 100).all()
    assert (mine['inputs'][3:, 64:] == 127).all()


def test_fixed_number_of_frames_alike(root):
    reader = VideoReader(root / 'v.mp4')
    (theirs,), (mine,) = both_ways(
        root, 'video', reader, clip_len=16, num_frames_per_video=16
    )
    np.testing.assert_array_equal(mine['inputs'], theirs['inputs'])


def test_flow_is_computed_once_and_frames_are_decoded_once(root, monkeypatch):
    decoded, computed = [], []
    frame, between = VideoReader._frame, FlowReader._between
    monkeypatch.setattr(
        VideoReader, '_frame', lambda self, i: decoded.append(i) or frame(self, i)
    )
    monkeypatch.setattr(
        FlowReader, '_between', lambda *args: computed.append(0) or between(*args)
    )
    _, found = both_ways(root, 'flow', VideoReader(root / 'v.mp4'))
    assert len(found) == 7
    assert len(computed) == 63 and decoded == sorted(set(decoded))
