"""Makes the random numbers of an epoch independent of how it was reached."""

from __future__ import annotations

from collections.abc import Iterator

from mmaction.registry import HOOKS
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...utils.randomness import seed_from


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds every epoch anew, from the seed of the training and the epoch.

    A checkpoint of MMEngine does not hold the state of random generators, so without
    this a training that was interrupted goes on with other random numbers than it
    would have had. With it, it ends with the same weights, bit for bit.

    Data sets with a method ``set_epoch_seed(seed, epoch)``, as
    :class:`~mmtal_mts.datasets.TALDataset`, get both: they draw the random numbers of
    an item from seed, epoch and item, so that several processes augment as one does.
    Trainings that count iterations instead of epochs stay as they are.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._seed: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Takes the seed, which a resumed training has from its checkpoint."""
        self._seed = None
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        # Processes may have seeds of their own; what they share needs one.
        self._seed = dist.all_gather_object(runner.seed)[0]
        sampler = runner.train_dataloader.sampler
        if hasattr(sampler, 'seed'):
            # It was built before the checkpoint was read.
            sampler.seed = self._seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seeds the process and its data sets."""
        if self._seed is None:
            return
        seed_from((self._seed, runner.epoch, dist.get_rank()))
        for dataset in _datasets(runner.train_dataloader.dataset):
            if hasattr(dataset, 'set_epoch_seed'):
                dataset.set_epoch_seed(self._seed, runner.epoch)


def _datasets(dataset: object) -> Iterator[object]:
    """A data set and those that it wraps."""
    yield dataset
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for wrapped in inner:
        if wrapped is not None:
            yield from _datasets(wrapped)
