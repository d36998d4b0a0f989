from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmtal_mts.apis.report import write_report
from mmtal_mts.apis.writers import Selection, VideoResult
from mmtal_mts.structures import Segments

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
TRUTH = Segments([[1.0, 4.0], [7.0, 8.0]], [0, 1])
EVIL = (
    '</script><script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '"><svg onload=alert(1)>',
    "'-alert(1)-'{{7*7}}<!--",
)


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts by their id."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.scripts = text, [], {}
        self.feed(text)
        self.data = json.loads(self.scripts['data'])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        # Set inside of scripts and styles.
        if self.cdata_elem:
            tag, attrs = self.tags[-1]
            name = attrs.get('id', tag)
            self.scripts[name] = self.scripts.get(name, '') + data

    def one(self, tag):
        (attributes,) = (attrs for name, attrs in self.tags if name == tag)
        return attributes


@pytest.fixture
def page(tmp_path):
    """Writes the page of a result to ``out/v.html`` and reads it."""

    def write(video=None, classes=('run', 'jump'), name='v', max_embedded=1e7, **more):
        segments = [[1, 3], [2, 4], [0, 9.5], [5, 6]]
        found = Segments(segments, [0, 1, 0, 1], [0.9, 0.5, 0.3, 0.01])
        more.update(classes=tuple(classes), path=video and str(video))
        shown = VideoResult(name, 10.0, more.pop('found', found), **more)
        path = tmp_path / 'out' / 'v.html'
        write_report(shown, path, Selection(0.4), max_embedded)
        return Page(path.read_text(encoding='utf-8'))

    return write


def test_detections_and_ground_truth(page):
    data = page(ground_truth=TRUTH).data
    assert data['threshold'] == 0.4 and data['duration'] == 10
    # Those below the threshold are there for the slider, down to 0.05.
    assert [d['score'] for d in data['detections']] == [0.9, 0.5, 0.3]
    tious = [d['tiou'] for d in data['detections']]
    assert tious == pytest.approx([2 / 3, 0, 3 / 9.5], abs=1e-3)
    assert data['truth'][1] == dict(start=7, end=8, label=1)
    assert data['hits'] == [[0], []]
    assert [c['name'] for c in data['classes'].values()] == ['run', 'jump']
    assert page().data['truth'] is None


def test_small_video_is_embedded_and_large_one_linked(page, tmp_path, make_video):
    video = Path(make_video(tmp_path / 'a:#1 50%?.mp4', 20, 2))
    embedded = page(video)
    assert 'src' not in embedded.one('video')
    assert base64.b64decode(embedded.scripts['embedded']) == video.read_bytes()
    linked = page(video, max_embedded=100)
    assert 'embedded' not in linked.scripts
    assert linked.one('video')['src'] == '../a%3A%231%2050%25%3F.mp4'
    # What browsers cannot play is converted.
    video = make_video(tmp_path / 'v.avi', 20, 2, codec='mpeg4')
    assert base64.b64decode(page(video).scripts['embedded'])[4:8] == b'ftyp'
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['v.html']
    linked = page(video, max_embedded=100)
    assert linked.one('video')['src'] == 'v.preview.mp4'
    assert (tmp_path / 'out/v.preview.mp4').is_file()


def test_pictures_that_begin_after_the_sound(page, tmp_path, make_video):
    # A converted video (MKV) begins with the first frame.
    for name, first in (('v.mp4', 1.0), ('v.mkv', 0)):
        video = make_video(tmp_path / name, 20, 10, with_sound=True, delay=1.0)
        assert page(video, first_frame_s=1.0).data['first_frame'] == first


def test_thumbnails_show_the_boundaries(page, tmp_path, make_video, number_of):
    data = page(make_video(tmp_path / 'v.mp4', 100, 10, size=(96, 64))).data
    for detection in data['detections']:
        for index, time in zip(detection['thumbs'], ('start', 'end'), strict=True):
            url = data['pictures'][index]
            jpeg = base64.b64decode(url.removeprefix('data:image/jpeg;base64,'))
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert number_of(image) == round(detection[time] * 10)


def test_many_detections_are_limited(page, tmp_path, make_video):
    starts = np.linspace(0, 9, 2000)
    scores = np.linspace(1, 0.1, 2000)
    found = Segments(np.c_[starts, starts + 0.5], np.zeros(2000), scores)
    data = page(make_video(tmp_path / 'v.mp4', 4), found=found).data
    scores = [d['score'] for d in data['detections']]
    assert len(scores) == 500 and scores[0] == 1 and scores[-1] > 0.75


@pytest.mark.parametrize('text', EVIL)
def test_names_cannot_become_markup(text, page, tmp_path, make_video):
    video = make_video(tmp_path / f'{text.replace("/", "")}.mp4', 3)
    more = dict(ground_truth=TRUTH, max_embedded=0)
    clean = page(video, warnings=('x', 'x'), **more)
    dirty = page(video, (text, text + '2'), text, warnings=(text, text), **more)
    assert [tag for tag, _ in dirty.tags] == [tag for tag, _ in clean.tags]
    assert not any(name.startswith('on') for _, attrs in dirty.tags for name in attrs)
    assert dirty.data['classes']['0']['name'] == text
    assert '49' not in dirty.text.split('<script')[0].split('</style>')[1]


def test_only_its_own_script_runs_and_nothing_is_loaded(page):
    shown = page()
    policy = next(attrs['content'] for _, attrs in shown.tags if 'http-equiv' in attrs)
    assert "default-src 'none'" in policy and 'unsafe' not in policy
    for kind in ('script', 'style'):
        digest = hashlib.sha256(shown.scripts[kind].encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    # Neither the page nor its script names an address, or writes markup.
    for tag, attrs in shown.tags:
        assert not {'href', 'src', 'style'} & set(attrs), (tag, attrs)
    script = shown.scripts['script']
    assert not re.search(r'innerHTML|document\.write|eval\(|https?:', script)
    assert not any(tag == 'video' for tag, _ in shown.tags)


@pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium')
def test_page_in_a_browser(page, tmp_path, make_video):
    page(make_video(tmp_path / 'v.mp4', 100, 10), EVIL[:2], EVIL[2], ground_truth=TRUTH)
    command = [CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom']
    command += [f'--user-data-dir={tmp_path / "p"}', '--virtual-time-budget=3000']
    command.append((tmp_path / 'out/v.html').as_uri())
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    dom = Page(done.stdout)
    attributes = [attrs for _, attrs in dom.tags]
    bars = [a for a in attributes if a.get('class', '').split()[:1] == ['bar']]
    # Two annotated actions, and the two detections from 0.4 on.
    assert sum('truth' in a['class'] for a in bars) == 2
    assert sorted(a['data-rank'] for a in bars if 'data-rank' in a) == ['0', '1']
    assert sum(tag == 'tr' and 'data-rank' in a for tag, a in dom.tags) == 2
    assert '2 of 3 detections · 1 of 2 annotated actions found' in dom.text
    assert dom.one('video')['src'].startswith('blob:')
    # Names are text, and what is drawn is what the script draws.
    assert sum(tag in ('script', 'svg') for tag, _ in dom.tags) == 3
    assert not any(name.startswith('on') for a in attributes for name in a)
