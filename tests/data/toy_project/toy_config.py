_base_ = '../../../configs/_base_/default_runtime.py'
custom_imports = dict(
    imports=['mmtal_mts', 'toy_components'], allow_failed_imports=False
)

model = dict(type='ToyModel')
loader = dict(num_workers=0, collate_fn=dict(type='pseudo_collate'))
train_dataloader = dict(
    dataset=dict(type='ToyDataset', size=8),
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    **loader,
)
val_dataloader = dict(
    dataset=dict(type='ToyDataset', size=5),
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    **loader,
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ToyMetric')
test_evaluator = val_evaluator

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
