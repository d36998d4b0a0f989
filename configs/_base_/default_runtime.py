custom_imports = dict(imports=['mmtal_mts'], allow_failed_imports=False)
default_scope = 'mmaction'

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    # Stops at the first NaN or infinite loss, before it reaches the weights.
    invalid_loss=dict(type='InvalidLossHook'),
    # A training that was interrupted ends as one that was not (docs/training.md).
    epoch_seed=dict(type='EpochSeedHook'),
    logger=dict(type='LoggerHook', interval=10, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Several are kept, so that a kill while one is written leaves a whole one.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
)

# Without a GPU, tools/train.py and tools/test.py use gloo instead of nccl.
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
# Add dict(type='TensorboardVisBackend') to see the curves in TensorBoard.
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='TALVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False
