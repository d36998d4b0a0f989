"""Weights of a backbone from a file of the backbone or of a recogniser."""

from __future__ import annotations

from mmengine.logging import MMLogger
from torch import nn

from ...utils.checkpoint import load_weights
from ...utils.errors import UserError

_PREFIX = 'backbone.'


def load_pretrained(backbone: nn.Module, path: str) -> None:
    """Loads weights by name; the log says what was found.

    Args:
        backbone: Where to. Parameters that the file does not have stay as they are.
        path: File or URL. Where keys begin with ``backbone.``, as those of MMAction2's
            recognisers do, only these are taken.

    Raises:
        UserError: The file is unusable, a tensor has another shape, or fewer than half
            of the parameters are there.
    """
    found = load_weights(path)
    if any(key.startswith(_PREFIX) for key in found):
        found = load_weights(path, _PREFIX)
    own, name = backbone.state_dict(), type(backbone).__name__
    wrong = [
        f'{key}: {tuple(found[key].shape)} there, {tuple(value.shape)} here'
        for key, value in own.items()
        if key in found and found[key].shape != value.shape
    ]
    wanted = [key for key, _ in backbone.named_parameters()]
    missing = [key for key in wanted if key not in found]
    if wrong or 2 * len(missing) > len(wanted):
        detail = '; '.join(wrong[:5]) or (
            f'{len(missing)} of {len(wanted)} parameters are not there, e.g. '
            f'{", ".join(missing[:3])}'
        )
        raise UserError(
            f'{path} does not fit {name}: {detail}. Remedy: take weights of this '
            'architecture and input (I3D: RGB weights need in_channels=3, flow weights '
            'in_channels=2, published weights width=1), or set pretrained=None'
        )
    backbone.load_state_dict(found, strict=False)
    MMLogger.get_current_instance().info(
        f'{name}: {len(found.keys() & own.keys())} of {len(own)} tensors loaded from '
        f'{path}; not found: {missing or "none"}; unused: '
        f'{sorted(found.keys() - own.keys()) or "none"}'
    )
