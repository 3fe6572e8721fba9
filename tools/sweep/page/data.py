"""What a page is made of: the plan, the results and the logs."""

from dataclasses import dataclass, field
from pathlib import Path

from mmkd_plugin.reports.run_log import read_records


@dataclass
class Data:
    """A sweep as it lies in its folder.

    Attributes:
        plan (Plan): The plan.
        out (Path): The folder.
        rows (dict[str, dict]): As ``sweep_report.collect`` returns them.
        logs (dict[str, dict[int, list]]): Records of the log by run and
            finished seed.
    """

    plan: object
    out: Path
    rows: dict
    logs: dict = field(init=False)

    def __post_init__(self):
        self.logs = {
            name: {
                seed: read_records(run.folder(self.out, seed))
                for seed in self.rows[name]['last']
            }
            for name, run in self.plan.runs.items()
        }

    @property
    def controls(self):
        """Names of the runs that are controls of others."""
        return {c for run in self.plan.runs.values() for c in run.controls}

    @property
    def groups(self):
        """Names of the runs that are compared, by that of their baseline."""
        found = {}
        for name, run in self.plan.runs.items():
            if run.baseline not in (None, name):
                found.setdefault(run.baseline, []).append(name)
        return found

    def ranked(self, baseline):
        """The methods of a group, the one that gained most first.

        Args:
            baseline (str): The run that they are compared with.

        Returns:
            list[str]: Without controls, and without what has no seed in
            common with the baseline.
        """
        gains = {
            name: self.rows[name]['difference']['mean']
            for name in self.groups[baseline]
            if name not in self.controls and self.rows[name]['difference']
        }
        return sorted(gains, key=gains.get, reverse=True)

    def drawn(self, baseline, most):
        """The runs that a figure shows: the baseline and what is compared.

        Args:
            baseline (str): A baseline.
            most (int | None): Largest number; None: all.

        Returns:
            list[str]: The baseline, the best methods, and controls if there
            is room.
        """
        controls = [n for n in self.groups[baseline] if n in self.controls]
        names = [baseline, *self.ranked(baseline), *controls]
        return [name for name in names if self.logs[name]][:most]
