from __future__ import annotations

from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from torch import nn

_PREFIXES = ('module.', 'backbone.')


def load_backbone_weights(backbone: nn.Module, filename: str) -> list[str]:
    """Loads weights of a backbone, or of a recogniser that holds it.

    Args:
        backbone: Where to.
        filename: Path or URL. Keys may begin with ``backbone.``, as those of
            MMAction2's recognisers do; all other parts of these are left out.

    Returns:
        The parameters that the file does not have.

    Raises:
        ValueError: Some tensor has another shape, or fewer than half of the
            parameters are there.
    """
    loaded = CheckpointLoader.load_checkpoint(filename, map_location='cpu')
    state = loaded.get('state_dict', loaded)
    for prefix in _PREFIXES:
        if any(key.startswith(prefix) for key in state):
            state = {
                key[len(prefix) :]: value
                for key, value in state.items()
                if key.startswith(prefix)
            }
    own = backbone.state_dict()
    name = type(backbone).__name__
    wrong = [
        f'{key}: {tuple(state[key].shape)} there, {tuple(own[key].shape)} here'
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    wanted = dict(backbone.named_parameters())
    missing = [key for key in wanted if key not in state]
    if wrong or 2 * len(missing) > len(wanted):
        detail = '; '.join(wrong[:5]) or (
            f'{len(missing)} of {len(wanted)} parameters are not there, e.g. '
            f'{", ".join(missing[:3])}'
        )
        raise ValueError(
            f'{filename} does not fit {name}: {detail}. Take weights of this '
            'architecture, or set pretrained=None'
        )
    backbone.load_state_dict(state, strict=False)
    MMLogger.get_current_instance().info(
        '%s: %d of %d tensors loaded from %s; not found: %s; unused: %s',
        name,
        len(set(state) & set(own)),
        len(own),
        filename,
        missing or 'none',
        sorted(set(state) - set(own)) or 'none',
    )
    return missing
