from __future__ import annotations

import copy

from torch import nn


def fit_neck(neck: dict, backbone: nn.Module) -> dict:
    """Fills in what a neck's config leaves to the backbone.

    Args:
        neck: Config of the neck. None as ``pyramid.in_channels``,
            ``pyramid.spatial_sizes`` or ``stt.first_stride`` means: those of the
            backbone.
        backbone: One that tells its ``maps``, as
            :class:`~mmtal_mts.models.BackboneAdapter` does; any other leaves the
            config as it is.

    Returns:
        The config without None at these places.

    Raises:
        ValueError: The config leaves something to a backbone that does not tell.
    """
    maps = getattr(backbone, 'maps', None)
    neck = copy.deepcopy(neck)
    pyramid, stt = neck.get('pyramid') or {}, neck.get('stt') or {}
    for name, part, key in (
        ('neck.pyramid', pyramid, 'in_channels'),
        ('neck.pyramid', pyramid, 'spatial_sizes'),
        ('neck.stt', stt, 'first_stride'),
    ):
        if key not in part or part[key] is not None:
            continue
        if maps is None:
            raise ValueError(
                f'{name}.{key} is None, but {type(backbone).__name__} does not tell '
                'its maps: give the values, or put the backbone into a BackboneAdapter'
            )
        part[key] = {
            'in_channels': tuple(m.channels for m in maps),
            'spatial_sizes': tuple(m.size for m in maps),
            'first_stride': maps[0].stride,
        }[key]
    return neck


def fit_warmup_head(head: dict, backbone: nn.Module) -> dict:
    """Fills in ``in_channels`` of a warm-up head where it is None.

    Args:
        head: Config of a :class:`~mmtal_mts.models.DenseClassificationHead`.
        backbone: See :func:`fit_neck`.

    Returns:
        The config.
    """
    if head.get('in_channels', 0) is not None:
        return head
    maps = backbone.maps
    return dict(head, in_channels=maps[head.get('feat_index', 0)].channels)
