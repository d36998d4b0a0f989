# The Weizmann timelines by their optical flow (docs/benchmark.md), which clothes do not
# change. Another fold: change ann_file. The backbone starts from the baseline on the
# flow of the synthetic videos, which .dev_scripts/train_zoo.sh trains, given
# ablation_baseline_i3d-tiny_1xb4-128x48x48_synthetic-flow.
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x64x64_weizmann.py']

model = dict(
    backbone=dict(
        in_channels=2,
        init_cfg=dict(
            checkpoint='work_dirs/'
            'ablation_baseline_i3d-tiny_1xb4-128x48x48_synthetic-flow/epoch_5.pth'
        ),
    ),
    neck=dict(stt=dict(in_channels=2)),
    refine_head=dict(fsa=dict(in_channels=2)),
)

# The arrays are extracted at the size that frames are scaled to in RGB.
train_pipeline = [
    dict(type='LoadClip'),
    dict(type='RandomCrop', size={{_base_.crop_size}}),
    dict(type='FlipClip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip'),
    dict(type='CenterCrop', crop_size={{_base_.crop_size}}),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
flow = dict(modality='Flow', data_prefix=dict(video='flow_npy'))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **flow))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **flow))
test_dataloader = val_dataloader
