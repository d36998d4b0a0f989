"""Formats in which data sets are distributed."""

from __future__ import annotations

import json

import pytest

from mmtal_mts.datasets.converters import (
    ConvertOptions,
    SourceFile,
    convert_annotations,
    read_class_names,
    read_video_facts,
)
from mmtal_mts.utils import UserError


@pytest.fixture
def data(repo_root):
    return repo_root / 'tests' / 'data' / 'annotations'


@pytest.fixture
def read(tmp_path):
    """Imports files of the given contents."""

    def run(contents, options=None, sources=None, format_name=None):
        for name, content in contents.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text)
        names = sources or [next(iter(contents))]
        paths = [tmp_path / name for name in names]
        return convert_annotations(paths, format_name, options)

    return run


def dropped(result):
    return {reason: len(places) for reason, places in result.dropped.items()}


def actions_of(result, video):
    return [
        (*action['segment'], action['label'])
        for action in result.content['database'][video]['annotations']
    ]


def test_thumos14_text_files(data):
    facts = read_video_facts([data / 'thumos14' / 'durations.txt'])
    result = convert_annotations(
        [data / 'thumos14'], options=ConvertOptions(durations=facts)
    )
    assert result.format == 'thumos14'
    assert len(result.files) == 3
    entry = result.content['database']['video_validation_0000161']
    assert (entry['subset'], entry['duration']) == ('validation', 61.762)
    assert actions_of(result, 'video_validation_0000161') == [
        (11.3, 14.1, 'CliffDiving'),
        (11.3, 14.1, 'Diving'),
        (21.0, 23.9, 'Diving'),
    ]
    assert result.content['classes'] == ['CliffDiving', 'Diving']
    # Nothing vanishes: the ambiguous ones and the video with nothing else are told.
    assert dropped(result) == {'labelled Ambiguous': 2}
    assert list(result.removed_videos) == ['video_test_0001292']
    assert 'not read as annotations: durations.txt' in result.notes


def test_ambiguous_segments_can_be_kept(data):
    result = convert_annotations(
        [data / 'thumos14'], options=ConvertOptions(keep_ambiguous=True)
    )
    assert result.dropped == {}
    assert actions_of(result, 'video_test_0001292') == [
        (78.4, 113.2, 'Ambiguous'),
        (39.9, 47.4, 'Ambiguous'),
    ]


def test_a_line_of_thumos14_that_is_none_is_counted(read):
    result = read({'Diving_val.txt': 'video_validation_0000161  1 2\nrubbish\n'})
    assert list(result.dropped) == ['line is not "VIDEO START END"']
    assert result.dropped['line is not "VIDEO START END"'][0].endswith('.txt:2')


def test_afsd_tables_take_the_seconds(data):
    result = convert_annotations([data / 'afsd' / 'val_Annotation_ours.csv'])
    assert result.format == 'afsd-thumos14'
    entry = result.content['database']['video_validation_0000666']
    # The frame columns of this video are at 30 fps, up to 130 s late.
    assert entry['fps'] == 25.0
    assert entry['duration'] == 35234 / 25
    assert entry['annotations'][0]['segment'] == [191.5, 204.3]
    assert entry['annotations'][0]['segment(frames)'] == [5745, 6129]
    # A row after the end of its video is imported; the checker's matter.
    assert (120.5, 127.0, 'HighJump') in actions_of(result, 'video_validation_0000364')


def test_afsd_json_of_activitynet_turns_frames_into_seconds(read):
    fps, segment = 29.97, [12.64441, 86.71838]
    entry = {
        'subset': 'training',
        'duration': 92.18,
        'frame_num': 768,
        'fps': fps,
        'annotations': [
            {
                'start_frame': segment[0] * fps,
                'end_frame': segment[1] * fps,
                'label': 'Dodgeball',
                'label_id': 17,
            }
        ],
    }
    result = read({'video_info_train_val.json': {'v_a': entry}})
    assert result.format == 'afsd-activitynet'
    assert actions_of(result, 'v_a')[0][:2] == pytest.approx(segment, rel=1e-15)
    assert 'fps' not in result.content['database']['v_a']
    entry['fps'] = None
    with pytest.raises(UserError, match='v_a: needs "fps"'):
        read({'video_info_train_val.json': {'v_a': entry}})


ANNOTATIONS = [{'segment': [0.01, 12.64441], 'label': 'Drinking beer'}]


# Facts of a video and of its action, and the field that is not taken over.
DIALECTS = {
    'actionformer': (
        {'subset': 'Training', 'duration': 14.07, 'fps': 30.0},
        {'label_id': 3, 'segment(frames)': [0.3, 379.3323]},
        None,
    ),
    'opentad': (
        {'subset': 'training', 'duration': 14.07, 'fps': 30, 'frame': 422},
        {'label_id': 3},
        'frame',
    ),
    'backtal': (
        {'subset': 'train', 'duration': 14.07, 'vid_idx': [22], 'fps': 30},
        {'idx': 22},
        'vid_idx',
    ),
    # Times as text, as R-C3D has them too.
    'gtad': (
        {'subset': 'training', 'duration': '14.07', 'fps': 30},
        {'segment': ['0.01', '12.64441']},
        None,
    ),
    # The name is in "class".
    'rtd': (
        {'subset': 'train', 'duration_second': 14.07, 'duration_frame': 422, 'fps': 30},
        {'class': 'Drinking beer', 'label': 23, 'segment_frame': [0, 379]},
        'duration_frame',
    ),
}


@pytest.mark.parametrize('dialect', DIALECTS)
def test_json_dialects_give_the_same(read, dialect):
    video, action, unknown = DIALECTS[dialect]
    content = {'v_a': {**video, 'annotations': [{**ANNOTATIONS[0], **action}]}}
    if dialect == 'opentad':
        # Test videos have no "annotations", in ActionFormer's files neither.
        content['v_test'] = {'subset': 'test', 'duration': 3.0, 'frame': 90}
    if dialect != 'rtd':
        content = {'version': 'v1.3', 'database': content}
    result = read({'a.json': content})
    assert result.format == ('mmaction2' if dialect == 'rtd' else 'activitynet')
    entry = result.content['database']['v_a']
    assert (entry['subset'], entry['duration'], entry['fps']) == ('training', 14.07, 30)
    assert actions_of(result, 'v_a') == [(0.01, 12.64441, 'Drinking beer')]
    assert result.content['classes'] == ['Drinking beer']
    notes = [note for note in result.notes if note.startswith('fields not taken over')]
    assert notes == ([f'fields not taken over: {unknown}'] if unknown else [])


def test_mmaction2_takes_subsets_from_the_table_beside_it(read):
    entry = {'duration_second': 14.07, 'annotations': ANNOTATIONS, 'feature_frame': 400}
    table = (
        'video,numFrame,seconds,fps,rfps,subset,featureFrame\n'
        'v_a,418,14.07,30.0,29.7,validation,400\n'
    )
    files = {'anet_anno_action.json': {'v_a': entry}, 'video_info_new.csv': table}
    converted = read(files).content['database']['v_a']
    assert (converted['subset'], converted['fps']) == ('validation', 30.0)


def test_mmaction2_takes_the_subset_from_the_file_name(read):
    entry = {'duration_second': 14.07, 'annotations': ANNOTATIONS}
    result = read({'anet_anno_train.json': {'v_a': entry}})
    assert result.content['database']['v_a']['subset'] == 'training'


def test_subsets_of_thumos14_are_in_the_video_ids(read):
    video = {'duration': 9.0, 'frame': 270, 'annotations': ANNOTATIONS}
    database = {
        'video_validation_0000051': dict(video, subset='train'),
        'video_test_0000004': dict(video, subset='validation'),
    }
    result = read({'a.json': {'version': 'THUMOS14', 'database': database}})
    subsets = {name: v['subset'] for name, v in result.content['database'].items()}
    assert subsets == {
        'video_validation_0000051': 'validation',
        'video_test_0000004': 'test',
    }
    assert any("'train' of 1 videos is written as" in note for note in result.notes)


def test_json_that_loses_videos_or_names_is_refused(read):
    video = '"a": {"annotations": [{"segment": [1, 2], "label": "x"}]}'
    with pytest.raises(UserError, match=r'1 keys stand more than once.*\(a\)'):
        read({'a.json': '{"database": {' + f'{video}, {video}' + '}}'})
    with pytest.raises(UserError, match='a: "file" must be a name, got 5'):
        read({'a.json': {'a': {'file': 5, 'annotations': ANNOTATIONS}}})


def test_json_with_odd_annotations_counts_them(read):
    items = [
        {'segment': [1, 2], 'label': 'x'},
        {'segment': [1], 'label': 'x'},
        {'segment': [1, 'soon'], 'label': 'x'},
        {'segment': [1, 2], 'label': 5},
    ]
    result = read({'a.json': {'database': {'a': {'annotations': items}}}})
    assert dropped(result) == {
        '"segment" is not [start, end]': 1,
        'start or end is not a time': 1,
        'no label': 1,
    }
    assert actions_of(result, 'a') == [(1, 2, 'x')]


def test_videos_without_actions_stay(read):
    database = {
        'a': {'annotations': [{'segment': [1, 2], 'label': 'x'}]},
        'b': {'subset': 'testing', 'annotations': []},
    }
    result = read({'a.json': {'database': database}})
    assert result.content['database']['b'] == {'annotations': [], 'subset': 'test'}


def test_gtad_table_needs_class_names(read, tmp_path):
    table = (
        'video-name,t-init,t-end,f-init,f-end,video-duration,frame-rate,video-frames,'
        'label-idx\n'
        'video_test_0000278,0.0,1.4,0,42,215.166667,30.0,6455,-1\n'
        'video_test_0000278,2.5,4.0,75,120,215.166667,30.0,6455,1\n'
        'video_test_0000278,2.5,4.0,75,120,215.166667,30.0,6455,7\n'
    )
    with pytest.raises(UserError, match='--classes'):
        read({'gt.csv': table})
    (tmp_path / 'classes.txt').write_text('7 BaseballPitch\n9 BasketballDunk\n')
    classes = read_class_names(SourceFile(tmp_path / 'classes.txt'))
    result = read({'gt.csv': table}, ConvertOptions(classes=classes))
    # Positions in the list, not the numbers in it.
    assert actions_of(result, 'video_test_0000278') == [(2.5, 4.0, 'BasketballDunk')]
    assert dropped(result) == {
        'labelled Ambiguous': 1,
        'no label': 1,
    }
    assert result.content['classes'] == ['BaseballPitch', 'BasketballDunk']


def test_charades_in_both_forms(read):
    classes = 'c000 Holding some clothes\nc001 Putting clothes somewhere\n'
    table = (
        'id,subject,script,actions,length\n'
        'YSKX3,CP6Y,"A person, folding.",c001 12.10 18.00;c000 5.40 14.10,16.62\n'
        'NONE1,CP6Y,Nothing.,,10.00\n'
    )
    files = {'Charades_v1_test.csv': table, 'Charades_v1_classes.txt': classes}
    result = read(files)
    assert result.format == 'charades'
    expected = [
        (12.1, 18.0, 'Putting clothes somewhere'),
        (5.4, 14.1, 'Holding some clothes'),
    ]
    assert actions_of(result, 'YSKX3') == expected
    assert result.content['database']['YSKX3']['duration'] == 16.62
    assert actions_of(result, 'NONE1') == []

    entry = {
        'subset': 'testing',
        'duration': 16.62,
        'actions': [[1, 12.1, 18.0], [0, 5.4, 14.1]],
    }
    files = {'charades.json': {'YSKX3': entry}, 'Charades_v1_classes.txt': classes}
    result = read(files)
    assert result.format == 'charades-json'
    assert actions_of(result, 'YSKX3') == expected


def test_charades_without_class_names_is_refused(read):
    with pytest.raises(UserError, match='Charades_v1_classes.txt'):
        read({'charades.json': {'a': {'actions': [[1, 2, 3]]}}})


@pytest.mark.parametrize(
    ('field', 'label'),
    [(None, 'take'), ('noun', 'plate'), ('action', 'take plate')],
)
def test_epic_kitchens_labels(read, field, label):
    head = (
        'narration_id,video_id,start_timestamp,stop_timestamp,verb,verb_class,noun,'
        'noun_class,all_nouns\n'
    )
    files = {
        'EPIC_100_validation.csv': head
        + 'P01_11_0,P01_11,00:00:00.00,00:05:31.97,collect-from,0,dish,2,"[2, 3]"\n',
        'EPIC_100_verb_classes.csv': 'id,key,instances\n0,take,"[]"\n1,put,"[]"\n',
        'EPIC_100_noun_classes.csv': 'id,key,instances\n2,plate,"[]"\n',
        'EPIC_100_video_info.csv': 'video_id,duration,fps\nP01_11,700.5,59.94\n',
    }
    result = read(files, ConvertOptions(label_field=field))
    assert actions_of(result, 'P01_11') == [(0.0, 331.97, label)]
    entry = result.content['database']['P01_11']
    assert (entry['subset'], entry['duration']) == ('validation', 700.5)
    if field is None:
        # All classes, so that both subsets get the same list.
        assert result.content['classes'] == ['take', 'put']


def test_kth_frames_count_from_one_and_the_last_is_included(read):
    text = (
        'Some words of explanation.\n'
        'person01_boxing_d1\t\tframes\t1-95, 96-185\n'
        'person13_handclapping_d3\tframes  \n'
    )
    result = read({'00sequences.txt': text})
    assert actions_of(result, 'person01_boxing_d1') == [
        (0.0, 95 / 25, 'boxing'),
        (95 / 25, 185 / 25, 'boxing'),
    ]
    assert actions_of(result, 'person13_handclapping_d3') == []
    assert any('person13_handclapping_d3 has no sequence' in n for n in result.notes)
    table = 'Filename,start_1,end_1,start_2,end_2\nperson01_boxing_d1,1,95,96,185\n'
    same = read({'FramesOfIntrest.csv': table})
    assert actions_of(same, 'person01_boxing_d1') == actions_of(
        result, 'person01_boxing_d1'
    )


def test_ut_interaction_needs_a_frame_rate(read):
    table = (
        'set,sequence,class_id,class,start_frame,end_frame\nSet1,seq1,4,punch,762,841\n'
    )
    with pytest.raises(UserError, match='--fps'):
        read({'labels.csv': table})
    result = read({'labels.csv': table}, ConvertOptions(fps=30.0))
    assert actions_of(result, 'seq1') == [(762 / 30, 841 / 30, 'punch')]


def test_a_sheet_of_ut_interaction_saved_as_csv(read):
    # As the authors' .xls file has it: two lines of names, repeated columns.
    sheet = (
        ',,,,Top-Left Point,,Bottom-Right Point,,,,\n'
        'sequence #,Activity Class ID,Starting Frame #,Ending Frame #,X-Cord,Y-Cord,'
        'X-Cord,Y-Cord,"Main actor (left=0, right=1)",,\n'
        'seq1,4,762,841,220,113,620,410,1,400,297\n'
        'seq1,0,1408,1562,225,110,655,423,-1,430,313\n'
        'seq1,9,1600,1700,225,110,655,423,-1,430,313\n'
    )
    result = read({'set1.csv': sheet}, ConvertOptions(fps=30.0))
    assert result.format == 'ut-interaction'
    assert actions_of(result, 'seq1') == [
        (762 / 30, 841 / 30, 'punch'),
        (1408 / 30, 1562 / 30, 'handshake'),
    ]
    assert dropped(result) == {'no label': 1}


def test_segments_without_classes_become_one_class(read):
    entry = {'gt_second_stamps': [[0.0, 5.6], [5.8]], 'fps': 30.0, 'duration': 411.4783}
    result = read({'gt.json': {'video_test_0000740': entry}})
    assert actions_of(result, 'video_test_0000740') == [(0.0, 5.6, 'action')]
    assert list(result.dropped) == ['segment is not [start, end]']
