#!/usr/bin/env python
"""How the pulls of terms change while a student trains without them.

Trains the student of a config by its own losses alone: the terms are computed
with a factor so small that they do not matter, and their pulls are measured
as tools/analysis_tools/weigh_terms.py does, often at first and rarely later.
Prints the pull of each term, with its weight, at the steps that are asked for:
the median of those measured within a tenth of them.

    python tools/benchmark/pulls_by_step.py CONFIG --steps 0 4 10 50 100 500
"""

import statistics

from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmkd_plugin import DistillHook
from mmkd_plugin.cli import launch
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.distill import pulls
from mmkd_plugin.reports.tables import make_table

FACTOR = 1e-4


@HOOKS.register_module()
class PullsByStepHook(DistillHook):
    """Measures what its terms would pull, and trains by none of them."""

    def before_train(self, runner):
        super().before_train(runner)
        self.found = {}
        model = runner.model
        self._heard = pulls.listen(model, self.distiller)
        heard = self._heard.__enter__()

        def measure(module, args, kwargs, output):
            step = runner.iter
            often = step < 20 or (step < 200 and step % 10 == 0)
            if module.training and (often or step % 60 == 0):
                found = pulls.measure(model, output, heard, self.distiller)
                self.found[step] = {
                    name: pull.ratio / FACTOR
                    for name, pull in found.items()
                    if pull.ratio is not None
                }

        model.register_forward_hook(measure, with_kwargs=True)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        super().before_train_iter(runner, batch_idx, data_batch)
        self.distiller.factor = FACTOR

    def after_train(self, runner):
        self._heard.__exit__(None, None, None)
        super().after_train(runner)


def rows_of(found, steps):
    """The table, with a header.

    Args:
        found (dict[int, dict[str, float]]): Pulls by step and term.
        steps (list[int]): Those to show.

    Returns:
        list[list[str]]: A row per term.
    """
    names = dict.fromkeys(name for pulls in found.values() for name in pulls)
    rows = [['step', *map(str, steps)]]
    for name in names:
        row = [name]
        for wanted in steps:
            near = [
                pulls[name]
                for step, pulls in found.items()
                if name in pulls and abs(step - wanted) <= wanted / 10
            ]
            row.append(f'{statistics.median(near):.2g}' if near else '')
        rows.append(row)
    return rows


@explain_errors()
def main():
    parser = launch.build_parser(__doc__.split('\n')[0])
    parser.add_argument('--steps', type=int, nargs='+', required=True)
    args = parser.parse_args()
    cfg = launch.load_config(args)
    hooks = [hook for hook in cfg.get('custom_hooks', []) if 'teacher' in hook]
    if len(hooks) != 1 or 'losses' not in hooks[0]:
        raise SystemExit(
            'error: Expected a config with one DistillHook that has `losses`, '
            f'but {args.config!r} has {len(hooks)} hooks with a teacher: give '
            'one such as configs/_base_/methods/ckd_rld.py makes.'
        )
    hooks[0]['type'] = 'PullsByStepHook'
    runner = Runner.from_cfg(cfg)
    runner.train()
    (hook,) = [h for h in runner.hooks if isinstance(h, PullsByStepHook)]
    print('\n'.join(make_table(rows_of(hook.found, args.steps), left=(0,))))


if __name__ == '__main__':
    main()
