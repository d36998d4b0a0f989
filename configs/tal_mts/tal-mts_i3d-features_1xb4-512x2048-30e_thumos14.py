# I3D features as the field distributes them for THUMOS14 (docs/extraction.md).
_base_ = [
    '../_base_/models/tal-mts_features.py',
    '../_base_/datasets/thumos14_features.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/default_runtime.py',
]
