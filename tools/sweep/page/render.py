"""From the folder of a sweep to the text of its page."""

from datetime import datetime, timezone
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from verdict import rule_of

from . import settings
from .data import Data
from .examples import make_examples
from .gaps import find_gaps
from .headline import make_headline, make_title
from .plots import MOST, plot_differences, plot_losses, plot_metric
from .table import make_table

TEMPLATE = 'report.html.j2'


def render(plan, out, rows):
    """Make the page of a sweep.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.
        rows (dict[str, dict]): As ``sweep_report.collect`` returns them.

    Returns:
        str: HTML.
    """
    data = Data(plan, out, rows)
    headline = make_headline(data)
    metrics, lines = make_table(data)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        name=out.name,
        metric=plan.metric,
        title=make_title(headline, data),
        headline=headline,
        gaps=find_gaps(data),
        rule=rule_of(plan.metric),
        metrics=metrics,
        lines=lines,
        differences=plot_differences(data),
        groups=[_group(data, baseline) for baseline in data.groups],
        environments=settings.environments(data),
        packages=settings.packages(),
        runs=settings.make_settings(data),
        commands=settings.make_commands(data),
        time=datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
    )


def _group(data, baseline):
    """What is shown of the runs with one baseline."""
    finished = data.drawn(baseline, None)
    return dict(
        baseline=baseline,
        curve=plot_metric(data, baseline),
        losses=plot_losses(data, baseline),
        left_out=finished[MOST:],
        examples=make_examples(data, baseline),
    )
