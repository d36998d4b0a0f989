# Untrimmed recordings of a thermal sensor on a ceiling: an empty room, somebody enters,
# acts and leaves (docs/benchmark.md). The subsets show different people: "val" tests on
# those for decisions, "test" on the others. Settings are those that
# tools/train_custom.py chooses for these actions of 1.3 to 4.7 s. One array
# (T, 54, 54, 3) uint8 for each recording, from the annotation and the videos:
#
#   python tools/dataset_converters/convert_annotations.py \
#       nagoya_fir/annotations.json --out data/nagoya_fir/annotations.json
#   python tools/dataset_converters/extract_clips.py \
#       nagoya_fir/videos data/nagoya_fir --fps 5 --side 54
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

data_root = 'data/nagoya_fir/'
clip_len = 64
sample_fps = 5
classes = ('sitdown', 'standup', 'falling1', 'falling2')
num_classes = len(classes)
levels = dict(num_levels=3)

model = dict(
    neck=dict(pyramid=levels, stt=dict(clip_len=clip_len, **levels)),
    coarse_head=dict(num_classes=num_classes, distance_factors=(4, 8, 16), **levels),
    refine_head=dict(num_classes=num_classes),
    warmup_head=dict(num_classes=num_classes),
)

train_pipeline = [
    dict(type='LoadClip'),
    dict(type='RandomCrop', size=48),
    dict(type='FlipClip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip'),
    dict(type='CenterCrop', crop_size=48),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
data = dict(
    data_root=data_root,
    data_prefix=dict(video='rgb_npy'),
    source_type='npy',
    classes=classes,
    sample_fps=sample_fps,
    clip_len=clip_len,
)
tested = dict(data, window_stride=32, pipeline=test_pipeline)
train_dataloader = dict(
    batch_size=8, dataset=dict(data, window_stride=16, pipeline=train_pipeline)
)
val_dataloader = dict(batch_size=8, dataset=dict(tested, subsets='validation'))
test_dataloader = dict(batch_size=8, dataset=dict(tested, subsets='test'))
val_evaluator = dict(ann_file=data_root + _base_.ann_file, subset='validation')
test_evaluator = dict(ann_file=data_root + _base_.ann_file, subset='test')
