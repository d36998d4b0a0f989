# Timelines of UT-Interaction, see docs/benchmark.md. Another fold: change ann_file.
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x64x64_weizmann.py']

data_root = 'data/ut_interaction/'
ann_file = 'annotations_fold0.json'
classes = ('handshake', 'hug', 'kick', 'punch', 'push')
num_classes = len(classes)

model = dict(
    coarse_head=dict(num_classes=num_classes),
    refine_head=dict(num_classes=num_classes),
)

data = dict(data_root=data_root, ann_file=ann_file, classes=classes)
train_dataloader = dict(dataset=dict(**data))
val_dataloader = dict(dataset=dict(**data))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator
