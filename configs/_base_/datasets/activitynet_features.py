# ActivityNet-1.3 as TSP features: 512 channels, a row every 16 frames at 15 fps, the
# rows of every video interpolated to one window of 256. TSN features of 400 channels:
# feature_channels=400 and in_channels of the model.
_base_ = ['./activitynet.py']

clip_len = 256
feature_channels = 512
train_pipeline = [
    dict(type='LoadFeatures', channels=feature_channels),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadFeatures', channels=feature_channels),
    dict(type='LoadVideoScores', ann_file={{_base_.video_scores}}),
    dict(type='PackTALInputs'),
]
features = dict(
    _delete_=True,
    type='TALFeatureDataset',
    data_root={{_base_.data_root}},
    ann_file={{_base_.ann_file}},
    data_prefix=dict(video='tsp_features'),
    file_tmpl='v_{video_id}.npy',
    class_agnostic=True,
    source_fps=15,
    feature_stride=16,
    num_frames_per_video=clip_len,
    clip_len=clip_len,
    on_invalid='clamp',
)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(subsets='training', pipeline=train_pipeline, **features),
)
val_dataloader = dict(
    batch_size=16,
    dataset=dict(
        subsets='validation', pipeline=test_pipeline, test_mode=True, **features
    ),
)
test_dataloader = val_dataloader
