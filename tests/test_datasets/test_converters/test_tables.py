"""Plain tables of actions."""

from __future__ import annotations

import csv
import io
from datetime import time

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_each_sheet_of_a_spreadsheet_is_a_table(convert, tmp_path):
    head, path = ['video', 'start', 'end', 'label'], tmp_path / 'a.xlsx'
    sheets = {
        'one': [head, ['a', 1.5, time(0, 1, 2), 'jump, run']],
        'two': [head, ['b', 3, 4.25, 'x'], ['b', 'soon', 2, 'x']],
        'empty': [],
    }
    with pd.ExcelWriter(path) as file:
        for sheet, rows in sheets.items():
            table = pd.DataFrame(rows)
            table.to_excel(file, sheet_name=sheet, header=False, index=False)
    for source in (path, tmp_path):
        done = convert(source)
        assert done.format == 'csv'
        assert done.result.files == [f'{path} [one]', f'{path} [two]']
        assert done.actions == {'a': [(1.5, 62.0, 'jump, run')], 'b': [(3, 4.25, 'x')]}
        reason = 'start or end is not a time'
        assert done.result.dropped == {reason: [f'{path} [two]:3']}


numbers = st.floats(-1e6, 1e6, allow_nan=False)
times = st.one_of(numbers.map(repr), st.sampled_from(['', 'soon', 'nan', '1:2:3:4']))
labels = st.sampled_from(['', 'jump', 'long jump, wide', 'Ambiguous', '"quoted"'])
rows = st.lists(
    st.tuples(st.sampled_from(['a', 'b', '']), times, times, labels), min_size=1
)


@given(rows)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_row_is_imported_exactly_or_counted(convert, rows):
    rows = [*rows, ('c', '1.5', '2.5', 'jump')]
    file = io.StringIO()
    csv.writer(file).writerows([('video', 'start', 'end', 'label'), *rows])
    done = convert({'rows.csv': file.getvalue()})
    imported = [(name, *action) for name, of in done.actions.items() for action in of]
    # A row of nothing but empty values is no row.
    num_rows = sum(any(row) for row in rows)
    assert len(imported) + sum(done.dropped.values()) == num_rows

    expected = []
    for video, start, end, label in rows:
        if video and label not in ('', 'Ambiguous'):
            try:
                segment = [float(start), float(end)]
            except ValueError:
                continue
            if 'nan' not in (start, end):
                expected.append((video, *segment, label))
    assert sorted(imported) == sorted(expected)
