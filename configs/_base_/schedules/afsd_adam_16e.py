# Adam with coupled weight decay, no schedule, no clipping, batch 1, seed 2020.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=16, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-5, weight_decay=1e-3),
)
param_scheduler = []
auto_scale_lr = dict(enable=False, base_batch_size=1)
randomness = dict(seed=2020)
