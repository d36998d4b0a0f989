# Table VI on the flow of the synthetic videos, baseline: none of the three modules. The
# flow networks of real timelines start from its backbone.
_base_ = ['./ablation_baseline_i3d-tiny_1xb4-128x48x48_synthetic.py']

model = dict(backbone=dict(in_channels=2))
flow = dict(modality='Flow', source_type='npy', data_prefix=dict(video='flow_npy'))
train_dataloader = dict(dataset=flow)
val_dataloader = dict(dataset=flow)
test_dataloader = val_dataloader
