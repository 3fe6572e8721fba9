"""From the folder of a sweep to its page."""

from datetime import datetime, timezone
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from verdict import rule_of

from mmkd_plugin.checkpoints.atomic import write_text

from . import settings
from .data import Data
from .examples import make_examples
from .gaps import find_gaps
from .headline import make_headline, make_title
from .plots import plot_differences, plot_losses, plot_metric
from .table import make_table

TEMPLATE = 'report.html.j2'


def write_page(plan, out, rows, name='report.html'):
    """Write the page of a sweep; never fail, since it is written last.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.
        rows (dict[str, dict]): As ``sweep_report.collect`` returns them.
        name (str): Name of the file.

    Returns:
        str: The path, or a sentence that says why there is none. A page of
        an earlier time is then removed, because it would be wrong.
    """
    path = out / name
    try:
        write_text(path, render(Data(plan, out, rows)))
    except Exception as error:  # the numbers are written, and must stay
        path.unlink(missing_ok=True)
        text = ' '.join(str(error).split()) or 'no message'
        return f'{path} was not written: {type(error).__name__}: {text}'
    return str(path)


def render(data):
    """Make the page.

    Args:
        data (Data): The sweep.

    Returns:
        str: HTML.
    """
    headline = make_headline(data)
    metrics, lines = make_table(data)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = [
        dict(
            baseline=baseline,
            curve=plot_metric(data, baseline),
            losses=plot_losses(data, baseline),
            examples=make_examples(data, baseline),
        )
        for baseline in data.groups
    ]
    return environment.get_template(TEMPLATE).render(
        name=data.out.name,
        metric=data.plan.metric,
        title=make_title(headline, data),
        headline=headline,
        gaps=find_gaps(data),
        rule=rule_of(data.plan.metric),
        metrics=metrics,
        lines=lines,
        differences=plot_differences(data),
        groups=groups,
        environments=settings.environments(data),
        packages=settings.packages(),
        runs=settings.make_settings(data),
        commands=settings.make_commands(data),
        time=datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
    )
