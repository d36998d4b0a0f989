"""From a folder of videos to arrays and images that the data set reads."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmtal_mts.apis.extraction import extract_clips
from mmtal_mts.datasets import TALDataset
from mmtal_mts.datasets.extraction import (
    ExtractionSettings,
    FlowEncoder,
    SampledVideo,
    SamplingGrid,
    check_disk_space,
    extract_all,
    find_videos,
    plan_extraction,
)
from mmtal_mts.datasets.extraction.extract import ExtractionPlan
from mmtal_mts.datasets.extraction.writers import ArrayWriter, remove_leftovers
from mmtal_mts.utils import UserError

SOURCE = Path(__file__).parents[2] / 'data' / 'index_brightness.mp4'
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
def extracted(videos, tmp_path_factory):
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
    encoder = FlowEncoder('dis', 20)
    video = SampledVideo(str(videos / 'square.avi'), SamplingGrid(10), SIDE, 'decord')
    fields = [encoder.push(frame) for frame in video][1:]
    fields.append(encoder.finish())
    np.testing.assert_array_equal(flow['square', 4], np.stack(fields[4:12]))
    # 3 source frames are 3 pixels to the right, 19 levels above the middle.
    moved = fields[1][11:17, 12:17, 0].astype(float)
    assert abs(np.median(moved) - (127.5 + 3 * 255 / 40)) < 3


def test_image_folders_are_read(videos, tmp_path):
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


def test_fixed_number_of_frames_is_one_window_per_video(videos, tmp_path):
    settings = ExtractionSettings(grid=SamplingGrid(None, 24), side=SIDE)
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


def test_only_what_is_missing_or_damaged_is_done(videos, extracted, tmp_path, capsys):
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


def test_failures_are_listed_and_the_rest_is_done(videos, tmp_path, capsys):
    failed = extract_clips(str(videos), tmp_path, ExtractionSettings(side=SIDE))
    assert list(failed) == ['broken']
    assert 'broken.mp4 cannot be decoded' in failed['broken']
    output = capsys.readouterr().out
    assert '1 of 3 videos failed:' in output
    made = sorted(path.name for path in (tmp_path / 'rgb_npy').iterdir())
    assert made == ['extraction.json', 'grey.npy', 'square.npy']


def test_the_tool_says_by_its_exit_status_whether_videos_failed(
    videos, tmp_path, repo_root, child_env
):
    tool = repo_root / 'tools' / 'dataset_converters' / 'extract_clips.py'
    result = subprocess.run(
        [sys.executable, tool, videos, tmp_path / 'out', '--side', '16'],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1, result.stderr
    assert 'broken: ' in result.stdout
    assert (tmp_path / 'out' / 'rgb_npy' / 'grey.npy').is_file()


def is_running(pid):
    try:
        return 'State:\tZ' not in Path(f'/proc/{pid}/status').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_extraction_leaves_nothing_that_looks_whole(tmp_path):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    videos.mkdir()
    write_video(videos / 'long.avi', 120, side=96)
    # Slow enough to be hit in the middle.
    settings = ExtractionSettings(
        ('RGB', 'Flow'), grid=SamplingGrid(30), side=96, flow_method='tvl1'
    )
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

    plan = plan_extraction(find_videos(str(videos))[0], out, settings)
    assert len(plan.jobs) == 1 and plan.num_kept == 0
    for path in partial:
        # As if the machine had been restarted: the process is gone.
        path.rename(path.with_name(path.name.replace(f'-{pid}.', '-999999999.')))
    for modality in settings.modalities:
        remove_leftovers(settings.folder(out, modality))
    assert not list(out.glob('*/.*.partial'))


def test_an_interrupted_extraction_cleans_up(videos, tmp_path):
    class Stop(Exception):
        pass

    def on_event(job, kind, value):
        raise Stop

    found = [
        video for video in find_videos(str(videos))[0] if video.video_id != 'broken'
    ]
    plan = plan_extraction(found, tmp_path, BOTH)
    with pytest.raises(Stop):
        extract_all(plan, tmp_path, BOTH, 2, on_event)
    assert not list(tmp_path.glob('*/.*.partial'))


def test_partial_files_of_living_processes_and_other_machines_stay(tmp_path):
    writer = ArrayWriter(tmp_path / 'a.npy', 2, (1, 1, 3))
    elsewhere = tmp_path / '.b.npy.othermachine-1.partial'
    elsewhere.touch()
    remove_leftovers(tmp_path)
    assert writer.partial.exists() and elsewhere.exists()
    with pytest.raises(ValueError, match='1 of 2 frames'), writer:
        writer.add(np.zeros((1, 1, 3), dtype=np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == [elsewhere.name]


def test_other_settings_and_unknown_files_are_refused(videos, extracted, tmp_path):
    ann = str(videos / 'ann.json')
    other = ExtractionSettings(('Flow',), side=SIDE, flow_method='farneback')
    # Nothing would have to be done, and yet it is not what was asked for.
    with pytest.raises(UserError, match="flow_method was 'dis' and is now 'farneback'"):
        extract_clips(str(videos), extracted, other, ann_file=ann, dry_run=True)
    (tmp_path / 'rgb_npy').mkdir()
    (tmp_path / 'rgb_npy' / 'grey.npy').touch()
    with pytest.raises(UserError, match=r'no extraction\.json'):
        extract_clips(str(videos), tmp_path, ExtractionSettings(side=SIDE))


def test_dry_run_writes_nothing_and_the_estimate_is_exact(videos, extracted, capsys):
    ann = str(videos / 'ann.json')
    out = extracted.parent / 'never'
    assert extract_clips(str(videos), out, BOTH, ann_file=ann, dry_run=True) == {}
    assert not out.exists()
    assert 'about 33 frames, 0.2 MB' in capsys.readouterr().out
    plan = plan_extraction(find_videos(str(videos), ann)[0], out, BOTH)
    arrays = sorted(extracted.glob('*/*.npy'))
    assert plan.num_bytes == sum(path.stat().st_size for path in arrays)
    assert len(arrays) == 4


def test_full_disk_is_told_before_the_start(tmp_path):
    plan = ExtractionPlan(num_bytes=10**18)
    with pytest.raises(UserError, match='1000000000.0 GB are needed'):
        check_disk_space(plan, tmp_path / 'not' / 'yet')


def test_annotated_videos_that_are_missing_are_failures(videos, tmp_path):
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
    ],
)
def test_impossible_settings(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        ExtractionSettings(**setting)


def _peak_memory(videos, out):
    extract_clips(str(videos), out, BOTH)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    (out / 'peak_kib').write_text(str(children))


def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for num_frames in (150, 2000):
        videos, out = tmp_path / f'videos{num_frames}', tmp_path / f'out{num_frames}'
        videos.mkdir()
        write_video(videos / 'v.avi', num_frames, side=128)
        # In a process of its own, whose children are the workers of this run only.
        process = multiprocessing.get_context('fork').Process(
            target=_peak_memory, args=(videos, out)
        )
        process.start()
        process.join(100)
        assert process.exitcode == 0
        peaks.append(int((out / 'peak_kib').read_text()))
    # 667 frames as they are decoded, 33 MB, would show.
    assert peaks[1] - peaks[0] < 12 * 1024


def _extract_small_files_only(videos, out):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    failed = extract_clips(str(videos), out, BOTH, ann_file=str(videos / 'ann.json'))
    (out / 'failed.json').write_text(json.dumps(failed))


def test_what_cannot_be_written_is_told_and_leaves_nothing(videos, tmp_path):
    process = multiprocessing.get_context('fork').Process(
        target=_extract_small_files_only, args=(videos, tmp_path)
    )
    process.start()
    process.join(60)
    failed = json.loads((tmp_path / 'failed.json').read_text())
    assert sorted(failed) == ['grey', 'square']
    for reason in failed.values():
        assert 'File too large' in reason and 'decoded' not in reason
    left = sorted(path.name for path in tmp_path.glob('*/*') if path.is_file())
    assert left == ['extraction.json'] * 2
