"""Measures what RFP, STT and FSA contribute to the detections of a model.

In the test set, the output of each is replaced by zeros, and by its output for another
clip: the last one of the video before (the first video comes after the last one; of a
single video, the window before). Of RFP, which is a sum, what it adds is replaced:
zeros leave the pyramid as it came in.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
from functools import lru_cache

import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.progress import track
from torch import Tensor, nn

from mmtal_mts import apis
from mmtal_mts.evaluation.functional.mean_ap import percent_table
from mmtal_mts.utils import UserError, result_console, run_tool

PLACES = 'neck.rfp', 'neck.stt', 'refine_head.fsa'
COLUMNS = 'zero', 'other_clip', 'entropy', 'energy_over_time'


def relative_entropy(weights: Tensor, num_clips: int) -> Tensor:
    """Entropy over that of uniform attention: (N * F, heads, Z, Z) -> (N,)."""
    entropy = torch.special.entr(weights).sum(3).view(num_clips, -1).mean(1)
    return entropy / math.log(weights.shape[3])  # NaN for a single key


def energy_over_time(levels: list[Tensor]) -> Tensor:
    """Variance over mean square, in time: L levels (N, C, T_l) -> (N,), their mean."""
    shares = [x.var(2, correction=0).sum(1) / x.square().mean(2).sum(1) for x in levels]
    return torch.stack(shares).nanmean(0)  # levels of zeros are left out


class Probe:
    """Keeps what a module ``gives``, (N, C, T_l) per level, or gives ``instead``."""

    def __init__(self, module: nn.Module, is_sum: bool = False) -> None:
        self.is_sum, self.gives, self.instead, self._tokens = is_sum, [], None, {}
        module.register_forward_hook(self._on_output)
        for layer in module.modules():
            if hasattr(layer, 'attention_weights'):
                layer.register_forward_pre_hook(self._tokens.__setitem__)

    def measure(self) -> Tensor:
        """Entropy and energy of each clip of the last forward pass: (2, N)."""
        energy = energy_over_time(self.gives)
        entropies = [torch.full_like(energy, math.nan)]
        for layer, inputs in self._tokens.items():
            weights = layer.attention_weights(*inputs)
            entropies.append(relative_entropy(weights, len(energy)))
        return torch.stack([torch.stack(entropies).nanmean(0), energy])

    def _on_output(self, _, inputs: tuple, output: Tensor | tuple) -> Tensor | tuple:
        levels = [output] if isinstance(output, Tensor) else output
        start = inputs[0] if self.is_sum else [0.0] * len(levels)
        if self.instead is None:
            self.gives = [x - y for x, y in zip(levels, start, strict=True)]
            return output
        levels = tuple(x + y for x, y in zip(self.instead, start, strict=True))
        return levels[0] if isinstance(output, Tensor) else levels


@torch.no_grad()
def measure(config: str, checkpoint: str | None, cfg_options: dict | None) -> dict:
    """Tests a model as it is and with each replacement, in one pass over the data."""
    cfg = apis.load_config(apis.find_config(config), cfg_options)
    apis.prepare_test_config(cfg, checkpoint='')
    model = apis.init_model(cfg, checkpoint)
    parts = dict(model.named_modules())
    probes = {k[-3:]: Probe(parts[k], k == PLACES[0]) for k in PLACES if k in parts}
    if not probes:
        text = f'its {type(model).__name__} has none of {", ".join(PLACES)}'
        raise UserError(f'{cfg.filename}: {text}. Remedy: give another config')
    model.backbone.forward = lru_cache(1)(model.backbone.forward)  # once per batch
    cfg.test_dataloader.sampler = dict(type='DefaultSampler', shuffle=False)
    loader = Runner.build_dataloader(cfg.test_dataloader)
    data, end = loader.dataset, len(loader.dataset) - 1
    ends = data.get_data_info(0), data.get_data_info(end)
    keys = [k for k in ('video_id', 'window_offset') if ends[0][k] != ends[1][k]]
    if not keys:
        raise UserError(f'{cfg.filename}: a test set of one window has no other clip')
    runs = [None, *((name, kind) for name in probes for kind in COLUMNS[:2])]
    evaluators = {run: Evaluator(cfg.test_evaluator) for run in runs}
    for evaluator in evaluators.values():
        evaluator.dataset_meta = data.metainfo
    model.test_step(loader.collate_fn([data[end]]))
    latest = {k: [x[0] for x in probe.gives] for k, probe in probes.items()}
    video, before, measured = None, None, []
    for batch in track(loader, 'batches'):
        batch = model.data_preprocessor(batch, False)
        samples, others = model(**batch, mode='predict'), []
        for i, sample in enumerate(samples):
            if sample.get(keys[0]) != video:
                video, before = sample.get(keys[0]), latest
            latest = {k: [x[i] for x in probe.gives] for k, probe in probes.items()}
            others.append(before)
        evaluators[None].process(samples)
        measured.append(torch.stack([probe.measure() for probe in probes.values()]))
        for name, kind in runs[1:]:
            new = map(torch.stack, zip(*(x[name] for x in others), strict=True))
            new = map(torch.zeros_like, new) if kind == 'zero' else new
            probes[name].instead = list(new)
            evaluators[name, kind].process(model(**batch, mode='predict'))
            probes[name].instead = None
    scores = {run: 100 * x.evaluate(end + 1)['mAP'] for run, x in evaluators.items()}
    result = {'as_released': scores[None], 'modules': {}}
    for name, means in zip(probes, torch.cat(measured, 2).nanmean(2), strict=True):
        own = scores[name, 'zero'], scores[name, 'other_clip'], *means.tolist()
        own = (None if math.isnan(x) else x for x in own)  # JSON knows no NaN
        result['modules'][name] = dict(zip(COLUMNS, own, strict=True))
    return result


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config file, or the name of a released model')
    add('checkpoint', nargs='?', help='checkpoint file (default: the released weights)')
    add('--json', action='store_true', help='print JSON, not a table')
    add('--cfg-options', nargs='+', action=apis.CfgOptionsAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # the result stands alone
        MMLogger.get_current_instance().setLevel('WARNING')
        result = measure(args.config, args.checkpoint, args.cfg_options)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    rows = [[name, *own.values()] for name, own in result['modules'].items()]
    for row in rows:
        for i, digits in enumerate((1, 1, 3, 3), start=1):
            row[i] = '-' if row[i] is None else f'{row[i]:.{digits}f}'
    title = f'mAP in %, {result["as_released"]:.1f} as released'
    result_console().print(percent_table(title, ['module', *COLUMNS], rows))


if __name__ == '__main__':
    sys.exit(run_tool(main))
