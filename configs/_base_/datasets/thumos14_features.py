# THUMOS14 as I3D features: RGB and flow side by side, 2048 channels; a row from 16
# frames every 4 frames of the video at its own rate, which is "fps" of the annotation.
_base_ = ['./thumos14.py']

clip_len = 512
feature_channels = 2048
pipeline = [
    dict(type='LoadFeatures', channels=feature_channels),
    dict(type='PackTALInputs'),
]
features = dict(
    _delete_=True,
    type='TALFeatureDataset',
    data_root={{_base_.data_root}},
    ann_file={{_base_.ann_file}},
    # Streams in files of their own: dict(video='i3d_rgb', flow='i3d_flow').
    data_prefix=dict(video='i3d_features'),
    classes={{_base_.classes}},
    feature_stride=4,
    feature_window=16,
    clip_len=clip_len,
    on_invalid='clamp',
    pipeline=pipeline,
)
train_dataloader = dict(
    batch_size=4, dataset=dict(subsets='validation', window_stride=64, **features)
)
val_dataloader = dict(
    batch_size=4,
    dataset=dict(subsets='test', window_stride=256, test_mode=True, **features),
)
test_dataloader = val_dataloader
