"""Formats in which data sets are distributed."""

from __future__ import annotations

import pytest

from mmtal_mts.utils import UserError

ANNOTATIONS = [{'segment': [0.01, 12.64441], 'label': 'Drinking beer'}]
BEER = [(0.01, 12.64441, 'Drinking beer')]
SHEET = (
    # As the authors' .xls file has it: two lines of names, repeated columns.
    ',,,,Top-Left Point,,Bottom-Right Point,,,,\n'
    'sequence #,Activity Class ID,Starting Frame #,Ending Frame #,X-Cord,Y-Cord,'
    'X-Cord,Y-Cord,"Main actor (left=0, right=1)",,\n'
    'seq1,4,762,841,220,113,620,410,1,400,297\n'
    'seq1,0,1408,1562,225,110,655,423,-1,430,313\n'
    'seq1,9,1600,1700,225,110,655,423,-1,430,313\n'
)
CHARADES_CLASSES = 'c000 Holding some clothes\nc001 Putting clothes somewhere\n'
CHARADES = [
    (12.1, 18.0, 'Putting clothes somewhere'),
    (5.4, 14.1, 'Holding some clothes'),
]
BOXING = [(0.0, 95 / 25, 'boxing'), (95 / 25, 185 / 25, 'boxing')]

# Files, of which the first is converted; options; format; actions by video.
CASES = {
    'charades': (
        {
            'Charades_v1_test.csv': 'id,subject,script,actions,length\n'
            'YSKX3,CP6Y,"A person, folding.",c001 12.10 18.00;c000 5.40 14.10,16.62\n'
            'NONE1,CP6Y,Nothing.,,10.00\n',
            'Charades_v1_classes.txt': CHARADES_CLASSES,
        },
        {},
        {'YSKX3': CHARADES, 'NONE1': []},
    ),
    'charades-json': (
        {
            'charades.json': {
                'YSKX3': {
                    'subset': 'testing',
                    'duration': 16.62,
                    'actions': [[1, 12.1, 18.0], [0, 5.4, 14.1]],
                }
            },
            'Charades_v1_classes.txt': CHARADES_CLASSES,
        },
        {},
        {'YSKX3': CHARADES},
    ),
    # Frames count from one and the last is included.
    'kth': (
        {
            '00sequences.txt': 'Some words of explanation.\n'
            'person01_boxing_d1\t\tframes\t1-95, 96-185\n'
            'person13_handclapping_d3\tframes  \n'
        },
        {},
        {'person01_boxing_d1': BOXING, 'person13_handclapping_d3': []},
    ),
    'kth table': (
        {
            'FramesOfIntrest.csv': 'Filename,start_1,end_1,start_2,end_2\n'
            'person01_boxing_d1,1,95,96,185\n'
        },
        {},
        {'person01_boxing_d1': BOXING},
    ),
    'ut-interaction': (
        {
            'labels.csv': 'set,sequence,class_id,class,start_frame,end_frame\n'
            'Set1,seq1,4,punch,762,841\n'
        },
        {'fps': 30.0},
        {'seq1': [(762 / 30, 841 / 30, 'punch')]},
    ),
    'ut-interaction sheet': (
        {'set1.csv': SHEET},
        {'fps': 30.0},
        {
            'seq1': [
                (762 / 30, 841 / 30, 'punch'),
                (1408 / 30, 1562 / 30, 'handshake'),
            ]
        },
    ),
    'second-stamps': (
        {
            'gt.json': {
                'video_test_0000740': {
                    'gt_second_stamps': [[0.0, 5.6], [5.8]],
                    'fps': 30.0,
                    'duration': 411.4783,
                }
            }
        },
        {},
        {'video_test_0000740': [(0.0, 5.6, 'action')]},
    ),
}
DROPPED = {
    'ut-interaction sheet': {'no label': 1},
    'second-stamps': {'"segment" is not [start, end]': 1},
}


@pytest.mark.parametrize('case', CASES)
def test_formats_of_data_sets(convert, case):
    files, options, actions = CASES[case]
    done = convert(files, **options)
    assert done.format == case.split()[0]
    assert done.actions == actions
    assert done.dropped == DROPPED.get(case, {})
    if 'charades' in case:
        assert done.videos['YSKX3']['duration'] == 16.62
        assert done.videos['YSKX3']['subset'] == 'test'
    if case == 'kth':
        assert 'person13_handclapping_d3 has no sequence' in done.notes


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('labels.csv', CASES['ut-interaction'][0]['labels.csv'], '--fps'),
        ('charades.json', {'a': {'actions': [[1, 2, 3]]}}, 'Charades_v1_classes.txt'),
        ('gt.csv', 'video-name,t-init,t-end,label-idx\na,1,2,3\n', '--classes'),
        # JSON that loses videos or names.
        (
            'a.json',
            '{"database": {"a": {"annotations": [{"segment": [1, 2], "label": "x"}]},'
            ' "a": {"annotations": [{"segment": [1, 2], "label": "x"}]}}}',
            r'1 keys stand more than once.*\(a\)',
        ),
        (
            'a.json',
            {'a': {'file': 5, 'annotations': ANNOTATIONS}},
            'a: "file" must be a name, got 5',
        ),
        (
            'a.json',
            {'v': {'fps': None, 'annotations': [{'start_frame': 1, 'end_frame': 2}]}},
            'v: needs "fps" to turn frames into seconds, got None',
        ),
    ],
)
def test_files_that_miss_something_are_refused(convert, name, content, message):
    with pytest.raises(UserError, match=message):
        convert({name: content})


def test_thumos14_text_files(convert, data):
    folder = data / 'thumos14'
    done = convert(folder, durations=[folder / 'durations.txt'])
    assert done.format == 'thumos14'
    assert len(done.result.files) == 3
    entry = done.videos['video_validation_0000161']
    assert (entry['subset'], entry['duration']) == ('validation', 61.762)
    assert done.actions['video_validation_0000161'] == [
        (11.3, 14.1, 'CliffDiving'),
        (11.3, 14.1, 'Diving'),
        (21.0, 23.9, 'Diving'),
    ]
    assert done.classes == ['CliffDiving', 'Diving']
    # Nothing vanishes: the ambiguous ones and the video with nothing else are told.
    assert done.dropped == {'labelled Ambiguous': 2}
    assert list(done.result.removed_videos) == ['video_test_0001292']
    assert '1 files were not read as annotations: durations.txt' in done.notes
    kept = convert(folder, keep_ambiguous=True)
    assert kept.dropped == {}
    assert kept.actions['video_test_0001292'] == [
        (78.4, 113.2, 'Ambiguous'),
        (39.9, 47.4, 'Ambiguous'),
    ]


def test_a_line_of_thumos14_that_is_none_is_counted(convert):
    done = convert({'Diving_val.txt': 'video_validation_0000161  1 2\nrubbish\n'})
    ((reason, (place,)),) = done.result.dropped.items()
    assert reason == 'line is not "VIDEO START END"'
    assert place.endswith('.txt:2')


def test_afsd_tables_take_the_seconds(convert, data):
    done = convert(data / 'afsd' / 'val_Annotation_ours.csv')
    assert done.format == 'afsd-thumos14'
    entry = done.videos['video_validation_0000666']
    # The frame columns of this video are at 30 fps, up to 130 s late.
    assert entry['fps'] == 25.0
    assert entry['duration'] == 35234 / 25
    assert entry['annotations'][0]['segment'] == [191.5, 204.3]
    assert entry['annotations'][0]['segment(frames)'] == [5745, 6129]
    # A row after the end of its video is imported; the checker's matter.
    assert (120.5, 127.0, 'HighJump') in done.actions['video_validation_0000364']


def test_afsd_json_of_activitynet_turns_frames_into_seconds(convert):
    fps, segment = 29.97, [12.64441, 86.71838]
    frames = dict(start_frame=segment[0] * fps, end_frame=segment[1] * fps)
    entry = dict(subset='training', duration=92.18, frame_num=768, fps=fps)
    entry['annotations'] = [{**frames, 'label': 'Dodgeball', 'label_id': 17}]
    done = convert({'video_info_train_val.json': {'v_a': entry}})
    assert done.format == 'afsd-activitynet'
    assert done.actions['v_a'][0][:2] == pytest.approx(segment, rel=1e-15)
    assert 'fps' not in done.videos['v_a']


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
def test_json_dialects_give_the_same(convert, dialect):
    video, action, unknown = DIALECTS[dialect]
    content = {'v_a': {**video, 'annotations': [{**ANNOTATIONS[0], **action}]}}
    if dialect == 'opentad':
        # Test videos have no "annotations", in ActionFormer's files neither.
        content['v_test'] = {'subset': 'test', 'duration': 3.0, 'frame': 90}
    if dialect != 'rtd':
        content = {'version': 'v1.3', 'database': content}
    done = convert({'a.json': content})
    assert done.format == ('mmaction2' if dialect == 'rtd' else 'activitynet')
    entry = done.videos['v_a']
    assert (entry['subset'], entry['duration'], entry['fps']) == ('training', 14.07, 30)
    assert done.actions['v_a'] == BEER
    assert done.classes == ['Drinking beer']
    notes = [note for note in done.result.notes if 'fields were not taken over' in note]
    assert notes == [f'1 fields were not taken over: {unknown}'] * (unknown is not None)


def test_mmaction2_takes_subsets_from_beside_it_or_from_the_file_name(convert):
    entry = {'duration_second': 14.07, 'annotations': ANNOTATIONS, 'feature_frame': 400}
    done = convert({'anet_anno_train.json': {'v_a': entry}})
    assert done.videos['v_a']['subset'] == 'training'
    table = (
        'video,numFrame,seconds,fps,rfps,subset,featureFrame\n'
        'v_a,418,14.07,30.0,29.7,validation,400\n'
    )
    files = {'anet_anno_action.json': {'v_a': entry}, 'video_info_new.csv': table}
    found = convert(files).videos['v_a']
    assert (found['subset'], found['fps']) == ('validation', 30.0)


def test_subsets_of_thumos14_are_in_the_video_ids(convert):
    video = {'duration': 9.0, 'frame': 270, 'annotations': ANNOTATIONS}
    database = {
        'video_validation_0000051': dict(video, subset='train'),
        'video_test_0000004': dict(video, subset='validation'),
    }
    done = convert({'a.json': {'version': 'THUMOS14', 'database': database}})
    assert {name: entry['subset'] for name, entry in done.videos.items()} == {
        'video_validation_0000051': 'validation',
        'video_test_0000004': 'test',
    }
    assert "1 videos of subset 'train' are written as 'validation'" in done.notes


def test_json_with_odd_annotations_counts_them(convert):
    items = [
        {'segment': [1, 2], 'label': 'x'},
        {'segment': [1], 'label': 'x'},
        {'segment': [1, 'soon'], 'label': 'x'},
        *({'segment': [1, 2], 'label': number} for number in (5, 1, -1)),
    ]
    videos = {'a': {'annotations': items}}
    videos['b'] = {'subset': 'testing', 'annotations': []}
    files = {'a.json': {'database': videos}, 'c.txt': 'run\njump\n'}
    dropped = {'"segment" is not [start, end]': 1, 'start or end is not a time': 1}
    done = convert(files)
    assert done.dropped == {**dropped, 'no label': 3}
    assert done.actions['a'] == [(1, 2, 'x')]
    # Videos without actions stay.
    assert done.videos['b'] == {'annotations': [], 'subset': 'test'}
    # Numbers are positions in the class list.
    done = convert(files, classes='c.txt')
    assert done.dropped == {**dropped, 'no label': 2}
    assert done.actions['a'] == [(1, 2, 'x'), (1, 2, 'jump')]


def test_gtad_table_has_numbers_of_classes(convert):
    table = (
        'video-name,t-init,t-end,f-init,f-end,video-duration,frame-rate,video-frames,'
        'label-idx\n'
        'video_test_0000278,0.0,1.4,0,42,215.166667,30.0,6455,-1\n'
        'video_test_0000278,2.5,4.0,75,120,215.166667,30.0,6455,1\n'
        'video_test_0000278,2.5,4.0,75,120,215.166667,30.0,6455,7\n'
    )
    files = {'gt.csv': table, 'classes.txt': '7 BaseballPitch\n9 BasketballDunk\n'}
    done = convert(files, classes='classes.txt')
    # Positions in the list, not the numbers in it.
    assert done.actions == {'video_test_0000278': [(2.5, 4.0, 'BasketballDunk')]}
    assert done.dropped == {'labelled Ambiguous': 1, 'no label': 1}
    assert done.classes == ['BaseballPitch', 'BasketballDunk']


@pytest.mark.parametrize(
    ('field', 'label'),
    [(None, 'take'), ('noun', 'plate'), ('action', 'take plate')],
)
def test_epic_kitchens_labels(convert, field, label):
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
    done = convert(files, label_field=field)
    assert done.actions == {'P01_11': [(0.0, 331.97, label)]}
    entry = done.videos['P01_11']
    assert (entry['subset'], entry['duration']) == ('validation', 700.5)
    if field is None:
        # All classes, so that both subsets get the same list.
        assert done.classes == ['take', 'put']
