"""The diagnosis as a page, as JSON and as text."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from mmtal_mts.apis.diagnosis_report import print_diagnosis, write_diagnosis
from mmtal_mts.evaluation.diagnosis import diagnose
from mmtal_mts.structures import Segments

EVIL = '--><script>alert("$x_1$")</script>[bold]'


@pytest.fixture(scope='module')
def diagnosis(video):
    truth = video([[0.0, 10], [20, 30]], [0, 1], 60.0)
    found = Segments([[0, 10], [20, 30], [0, 5]], [0, 0, 1], [0.9, 0.8, 0.7])
    return diagnose([EVIL, 'b', 'unused'], {'v': truth}, {'v': found}, [0.3, 0.5])


class Page(HTMLParser):
    """Collects tags, addresses and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [
            value for name, value in attrs if name in ('src', 'href', 'xlink:href')
        ]

    def handle_data(self, data):
        self.text.append(data.strip())


def test_the_page_needs_nothing_else_and_names_are_text(diagnosis, tmp_path):
    json_path, page_path = write_diagnosis(tmp_path / 'out', diagnosis, EVIL, 0.1)
    content = page_path.read_text(encoding='utf-8')
    page = Page()
    page.feed(content)
    assert 'script' not in page.tags
    (picture,) = page.addresses
    assert picture.startswith('data:image/png;base64,')
    assert not re.search(r'url\(', content)
    assert page.text.count(EVIL) == 2  # title and heading
    assert ''.join(page.text).count(EVIL) >= 4  # and in the tables
    assert '50.0' in page.text  # AP of class b at tIoU 0.3 is 0, of the other 1
    assert 'unused' not in content
    found = json.loads(json_path.read_text(encoding='utf-8'))
    assert found['mAP'] == diagnosis.mean_ap.tolist()
    assert sorted(path.name for path in page_path.parent.iterdir()) == [
        'diagnosis.json',
        'report.html',
    ]


def test_the_text_shows_the_numbers_and_names_as_they_are(diagnosis):
    console = Console(width=120, record=True, file=io.StringIO())
    print_diagnosis(diagnosis, console)
    text = console.export_text()
    assert re.search(r'mAP\W+50\.0\W+50\.0\W+50\.0\W+2\b', text)
    assert '[bold]' in text
    assert re.search(r'wrong label\W+2\W+2\b', text)


def test_nothing_found_makes_a_page_too(video, tmp_path):
    empty = diagnose(['a'], {'v': video([[0.0, 10]], [0], None)}, {}, [0.5])
    _, page = write_diagnosis(tmp_path, empty, 'nothing', 0.1)
    text = page.read_text(encoding='utf-8')
    assert 'Missed segments' in text and 'taken for each other' not in text
