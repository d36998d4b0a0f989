# Recordings of a thermal sensor on a ceiling: an empty room, somebody enters, acts and
# leaves. The subsets show different people. One array (T, 54, 54, 3) uint8 for each
# recording at 5 fps, from the annotation and the videos:
#
#   python tools/dataset_converters/convert_annotations.py \
#       nagoya_fir/annotations.json --out data/nagoya_fir/annotations.json
#   python tools/dataset_converters/extract_clips.py \
#       nagoya_fir/videos data/nagoya_fir --fps 5 --side 54
dataset_type = 'TALDataset'
data_root = 'data/nagoya_fir/'
ann_file = 'annotations.json'
clip_len = 64
crop_size = 48
sample_fps = 5
classes = ('sitdown', 'standup', 'falling1', 'falling2')

train_pipeline = [
    dict(type='LoadClip'),
    dict(type='RandomCrop', size=crop_size),
    dict(type='FlipClip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip'),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(video='rgb_npy'),
        classes=classes,
        subsets='training',
        source_type='npy',
        sample_fps=sample_fps,
        clip_len=clip_len,
        window_stride=16,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(video='rgb_npy'),
        classes=classes,
        subsets='validation',
        source_type='npy',
        sample_fps=sample_fps,
        clip_len=clip_len,
        window_stride=32,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(val_dataloader['dataset'], subsets='test')
)

val_evaluator = dict(
    type='TALMetric',
    ann_file=data_root + ann_file,
    subset='validation',
    tiou_thresholds=(0.3, 0.4, 0.5, 0.6, 0.7),
)
test_evaluator = dict(val_evaluator, subset='test')
