# The synthetic videos with actions that only context tells: two nods of one motion, by
# the colour of a lamp seconds before, and swings of the lamp, which one patch shows.
# generate_synthetic.py data/synthetic_context --context --num-test 200 makes them.
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

data_root = 'data/synthetic_context/'
classes = (*_base_.classes, 'nod_warm', 'nod_cold', 'signal')
num_classes = len(classes)

model = dict(
    coarse_head=dict(num_classes=num_classes),
    refine_head=dict(num_classes=num_classes),
    warmup_head=dict(num_classes=num_classes),
)

data = dict(data_root=data_root, classes=classes)
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + _base_.ann_file)
test_evaluator = val_evaluator
