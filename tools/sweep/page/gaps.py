"""What is missing or unequal, so that nothing is compared in silence."""

import json

from .settings import environments


def find_gaps(data):
    """Say what a reader must know before trusting the numbers.

    Args:
        data (Data): The sweep.

    Returns:
        list[str]: Sentences; empty if every training has finished and all
        were made alike.
    """
    found = []
    for name, run in data.plan.runs.items():
        missing = [s for s in run.seeds if s not in data.rows[name]['last']]
        if missing:
            found.append(_unfinished(data, run, missing))
    for name, row in data.rows.items():
        gain = row['difference']
        if gain and len(gain['values']) < len(row['last']):
            alone = sorted(row['last'].keys() - gain['values'])
            found.append(
                f'{name}: {_seeds(alone, "is", "are")} not compared, because '
                f'{gain["baseline"]} has no result with '
                f'{"it" if len(alone) == 1 else "them"}.'
            )
    for baseline, names in data.groups.items():
        steps = {name: _last_steps(data, name) for name in (baseline, *names)}
        wanted = steps.pop(baseline)
        for name, last in steps.items():
            if wanted and last and last != wanted:
                found.append(
                    f'{name} was last validated at {_numbers(last)}, '
                    f'{baseline} at {_numbers(wanted)}: they were not '
                    'trained equally long.'
                )
    commits = {c for row in data.rows.values() for c in row['commits']}
    if len(commits) > 1:
        found.append(
            f'The trainings ran on {len(commits)} versions of the code: '
            f'{", ".join(sorted(commits))}.'
        )
    elif any(commit.endswith('-dirty') for commit in commits):
        found.append('The code had changes that were not committed.')
    if len(environments(data)) > 1:
        found.append(
            'The trainings ran in different environments, see the settings.'
        )
    return found


def _unfinished(data, run, missing):
    """Which seeds of a run have no result, and what is known of them."""
    failed, states = [], []
    for seed in missing:
        path = run.folder(data.out, seed) / 'attempts.json'
        if path.is_file():
            last = json.loads(path.read_text())[-1]
            code = last.get('exit_code')
            (failed if code else states).append(seed)
    text = f'{run.name}: {_seeds(missing, "has", "have")} no result'
    if failed:
        logs = ', '.join(f'{run.name}/seed_{seed}/run.log' for seed in failed)
        return f'{text}; see {logs}.'
    if states:
        return f'{text}; {_numbers(states)} begun and not finished.'
    return f'{text}; not begun.'


def _seeds(seeds, one, many):
    """Seeds as a subject, with the form of the verb."""
    if len(seeds) == 1:
        return f'seed {seeds[0]} {one}'
    return f'seeds {_numbers(seeds)} {many}'


def _numbers(values):
    return ', '.join(map(str, sorted(values)))


def _last_steps(data, name):
    """Steps of the last validation of all finished seeds."""
    found = set()
    for seed in data.rows[name]['last']:
        path = data.plan.runs[name].folder(data.out, seed) / 'result.json'
        found.add(json.loads(path.read_text()).get('last_step'))
    return found - {None}
