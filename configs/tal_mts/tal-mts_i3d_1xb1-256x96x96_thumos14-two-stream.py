# RGB and flow in one pass, for testing; the checkpoint comes from
# tools/model_converters/join_streams.py (docs/models.md).
import mmengine.config

_base_ = ['./tal-mts_i3d_1xb1-256x96x96-25e_thumos14-rgb.py']

flow = '{{ fileDirname }}/tal-mts_i3d_1xb1-256x96x96-25e_thumos14-flow.py'
model = dict(
    _delete_=True,
    type='TwoStreamTALMTS',
    rgb={{_base_.model}},
    flow=mmengine.config.Config.fromfile(flow).model.to_dict(),
    test_cfg={{_base_.model.test_cfg}},
)

test_pipeline = [
    dict(type='LoadClip'),
    dict(type='AppendClip', data_root={{_base_.data_root}}, folder='flow_npy'),
    dict(type='CenterCrop', crop_size={{_base_.crop_size}}),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
