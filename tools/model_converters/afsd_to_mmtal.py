"""Converts a checkpoint of the original AFSD code for the configs of configs/afsd."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping

import torch
from torch import Tensor

try:
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.checkpoint import load_checkpoint, load_weights
    from mmtal_mts.utils.io import atomic_write
except ImportError as error:
    sys.exit(f'error: {error}')

_HEAD = 'coarse_pyramid_detection.'
_BACKBONE = 'backbone._model.'
_NUM_LEVELS = 6
_UNITS = ('b0', 'b1a', 'b1b', 'b2a', 'b2b', 'b3b')
_STEMS = ('Conv3d_1a_7x7', 'Conv3d_2b_1x1', 'Conv3d_2c_3x3')
_MIXED = ('3b', '3c', '4b', '4c', '4d', '4e', '4f', '5b', '5c')
_BN = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
# Layers of a refinement branch there and here.
_BRANCH = dict(
    cur_point_conv='own', lr_conv='level', roi_conv='frame', proposal_conv='fuse'
)
_LAYERS = dict(
    loc_head='coarse_head.loc_conv',
    conf_head='coarse_head.cls_conv',
    prop_loc_head='refine_head.offset_conv',
    prop_conf_head='refine_head.cls_conv',
    center_head='refine_head.quality_conv',
)
# Layers whose rows are classes, background first there and last here.
_CLASSIFIERS = ('conf_head', 'prop_conf_head')


def convert_afsd_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames an AFSD state dict (THUMOS14 RGB or flow, ActivityNet) to ours.

    The classifier rows are reordered from background first to background last. The
    result fits the models of ``configs/afsd``; which variant it is follows from the
    pyramid in it.

    Args:
        state_dict: State dict of AFSD's network, also with the ``module.`` prefix of
            a data-parallel model.

    Returns:
        State dict of ``TALMTS`` with AFSD's settings. Tensors that need no change are
        the same objects.

    Raises:
        UserError: The state dict is not a whole AFSD network; the message lists what
            is missing, unknown or of an unexpected shape.
    """
    source = {key.removeprefix('module.'): value for key, value in state_dict.items()}
    names = afsd_key_map(source)
    absent = [key for key in names if key not in source]
    missing = [key for key in absent if not key.endswith('num_batches_tracked')]
    problems = {
        'missing': missing,
        'unknown': [key for key in source if key not in names],
        'of another shape': [] if missing else _wrong_shapes(source),
    }
    listed = '; '.join(
        f'{len(keys)} {what}: {", ".join(keys[:8])}{", ..." * (len(keys) > 8)}'
        for what, keys in problems.items()
        if keys
    )
    if listed:
        raise UserError(
            f'not a state dict of AFSD: {listed}. Give the checkpoint of the AFSD '
            'network itself; Kinetics weights of I3D go into backbone.pretrained as '
            'they are'
        )
    converted = {}
    for key in filter(source.__contains__, names):
        value = source[key]
        if key.split('.')[1] in _CLASSIFIERS:
            value = torch.cat([value[1:], value[:1]])
        converted[names[key]] = value.reshape(()) if key.endswith('.scale') else value
    return converted


def afsd_key_map(state_dict: Mapping[str, object]) -> dict[str, str]:
    """Maps every key of AFSD's network, of the variant of a state dict, to ours.

    On THUMOS14 the first two levels of the pyramid come from the backbone, on
    ActivityNet one.
    """
    units = [*_STEMS, *(f'Mixed_{m}.{unit}' for m in _MIXED for unit in _UNITS)]
    layers = ['conv3d.weight', *(f'bn.{name}' for name in _BN)]
    keys = [f'{unit}.{layer}' for unit in units for layer in layers]
    names = {f'{_BACKBONE}{key}': f'backbone.{key}' for key in keys}
    from_backbone = 2 if f'{_HEAD}pyramids.1.0.conv3d.weight' in state_dict else 1
    for i in range(_NUM_LEVELS):
        if i < from_backbone:
            names.update(_unit(f'pyramids.{i}', f'neck.pyramid.collapses.{i}', 3))
        else:
            ours = f'neck.pyramid.downsamples.{i - from_backbone}'
            names.update(_unit(f'pyramids.{i}', ours))
        names[f'{_HEAD}loc_heads.{i}.scale'] = f'coarse_head.scales.{i}.scale'
    for i in range(3):
        # Convolution, normalisation and ReLU follow each other in one sequence.
        ours = f'neck.frame_feature.units.{i}'
        names.update(_layer(f'deconv.{3 * i}.conv1d', f'{ours}.conv'))
        names.update(_layer(f'deconv.{3 * i + 1}', f'{ours}.norm'))
    for theirs, ours in (('loc', 'loc'), ('conf', 'cls')):
        for i in range(2):
            names.update(_unit(f'{theirs}_tower.{i}', f'coarse_head.{ours}_tower.{i}'))
        for layer, name in _BRANCH.items():
            source = f'{theirs}_proposal_branch.{layer}'
            names.update(_unit(source, f'refine_head.{ours}_branch.{name}'))
    for theirs, ours in _LAYERS.items():
        names.update(_layer(f'{theirs}.conv1d', ours))
    return names


def _unit(theirs: str, ours: str, dims: int = 1) -> dict[str, str]:
    """Convolution (0) and group normalisation (1) of one unit."""
    return {
        **_layer(f'{theirs}.0.conv{dims}d', f'{ours}.conv'),
        **_layer(f'{theirs}.1', f'{ours}.norm'),
    }


def _layer(theirs: str, ours: str) -> dict[str, str]:
    return {f'{_HEAD}{theirs}.{part}': f'{ours}.{part}' for part in ('weight', 'bias')}


def _wrong_shapes(source: Mapping[str, Tensor]) -> list[str]:
    """Keys of the head whose shapes do not belong together."""
    channels = source[f'{_HEAD}loc_tower.0.0.conv1d.weight'].shape[0]
    num_logits = source[f'{_HEAD}conf_head.conv1d.weight'].shape[0]
    rows = dict(loc_head=2, prop_loc_head=2, center_head=1, loc_heads=1)
    rows |= dict.fromkeys(_CLASSIFIERS, num_logits)
    wrong = []
    for key, value in source.items():
        if not key.startswith(_HEAD):
            continue
        expected = rows.get(key.split('.')[1], channels)
        if 'lr_conv' in key:
            expected = 2 * channels
        dims = re.search(r'conv([13])d\.weight$', key)
        ndim = int(dims.group(1)) + 2 if dims else 1
        if value.ndim != ndim or value.shape[0] != expected:
            wrong.append(f'{key} {tuple(value.shape)}')
    return wrong


def main() -> None:
    """Converts the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='checkpoint of AFSD, *.ckpt or *.pth')
    parser.add_argument('dst', help='file to write, *.pth')
    args = parser.parse_args()
    weights = load_checkpoint(args.src).get('model') or load_weights(args.src)
    try:
        converted = convert_afsd_state_dict(weights)
    except UserError as error:
        raise UserError(f'{args.src}: {error}') from error
    with atomic_write(args.dst) as temporary:
        meta = dict(converted_from='AFSD')
        torch.save(dict(meta=meta, state_dict=converted), temporary)
    print(f'{args.dst}: {len(converted)} tensors')


if __name__ == '__main__':
    sys.exit(run_tool(main))
