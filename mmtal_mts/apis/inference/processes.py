"""Several processes that share the videos of one inference."""

from __future__ import annotations

import datetime
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.dist import init_dist

from mmtal_mts.utils import UserError

# Processes meet only at the end, and some may have the longer videos.
_PATIENCE_S = 7 * 24 * 3600


class Processes:
    """This process among all.

    Args:
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Attributes:
        rank (int): Number of this process.
        count (int): Of all processes.
        device (str, optional): GPU of this process; None if there is one process or
            no GPU.

    Raises:
        UserError: If the launcher does not work here.
    """

    def __init__(self, launcher: str = 'none') -> None:
        self.rank, self.count, self.device = 0, 1, None
        if launcher == 'none':
            return
        has_gpu = torch.cuda.is_available()
        if not has_gpu and launcher != 'pytorch':
            raise UserError(
                f'--launcher {launcher} needs CUDA GPUs, and torch sees none. '
                'Remedy: torchrun with --launcher pytorch works on CPUs as well'
            )
        try:
            # Only small reports are exchanged, for which gloo is always there.
            if has_gpu:
                init_dist(launcher, backend='gloo', timeout=_PATIENCE_S)
                self.device = f'cuda:{torch.cuda.current_device()}'
            else:
                patience = datetime.timedelta(seconds=_PATIENCE_S)
                torch_dist.init_process_group('gloo', timeout=patience)
        except (ValueError, KeyError) as error:
            raise UserError(
                f'--launcher {launcher}: {error} is missing. Remedy: start with '
                'torchrun, srun or mpirun, which set the environment'
            ) from error
        self.rank, self.count = torch_dist.get_rank(), torch_dist.get_world_size()

    def share(self, items: list) -> list:
        """Those of a list that are for this process.

        Args:
            items (list): The same in all processes.

        Returns:
            list: Every ``count``-th.
        """
        return items[self.rank :: self.count]

    def gather(self, item: Any) -> list:
        """Waits for all processes.

        Args:
            item: Of this process; small.

        Returns:
            list: Of all processes.
        """
        if self.count == 1:
            return [item]
        items: list = [None] * self.count
        torch_dist.all_gather_object(items, item)
        return items

    def close(self) -> None:
        """Leaves the group."""
        if torch_dist.is_available() and torch_dist.is_initialized():
            torch_dist.destroy_process_group()
