"""Chooses where a network runs."""

from __future__ import annotations

import torch

from mmtal_mts.utils import UserError


def usable_device(name: str | None) -> torch.device:
    """Checks that a device is there.

    Args:
        name (str, optional): E.g. 'cpu' or 'cuda:1'. None: the first GPU if there is
            one.

    Returns:
        torch.device: The device.

    Raises:
        UserError: If torch cannot use it.
    """
    if name is None:
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f'device {name!r} is not usable: {str(error).splitlines()[0]}. '
            'Remedy: --device cpu, or cuda:N with a GPU that torch sees'
        ) from error
    return device
