"""Mistakes in plans, and values of settings."""

from pathlib import Path

import pytest
import sweep_plan
import sweep_settings

from tests.helpers.doc_examples import DOCS, examples
from tests.helpers.sweeps import PLAN, REPO


@pytest.mark.parametrize(
    'old, new, expected',
    [
        ('seeds =', 'seed =', "did you mean 'seeds'?"),
        ('seeds = [0, 1, 2]', '', "needs 'seeds'"),
        ('[0, 1, 2]', '[0, 0]', 'got [0, 0]'),
        ('[0, 1, 2]', "['a']", "got ['a']"),
        ('student=', "**{'a/b': {}}, student=", "but got 'a/b'"),
        ('config=', 'cfg=', "The run 'student' must have config"),
        ("= 'student'", "= 'teacher'", "The baseline 'teacher'"),
        ('seeds =', "runs['kd']['controls'] = ['x']; seeds =", "got ['x']"),
        ('seeds =', "runs['kd']['controls'] = ['kd']; seeds =", "got ['kd']"),
        (
            'seeds =',
            "runs['kd']['controls'] = 'student'; seeds =",
            "a list of other runs (student) but got 'student'",
        ),
        ('seeds =', "runs['kd']['controls'] = [{}]; seeds =", 'got [{}]'),
        ('fake.gain', 'fake.gain.x', 'does not fit the config'),
        ('fake.gain', 'fale.gain', 'did you mean fake?'),
        ('1.5', "'{runs.student}'", 'with one seed'),
        ('1.5', "'{runs.nobody}'", 'with one seed'),
        ('1.5', 'dict(a=1)', 'cannot set fake.gain'),
        ('1.5', "'a b'", 'cannot set fake.gain'),
        ('1.5', "'[a,'", 'cannot set fake.gain'),
        ("'c.py'", "'none.py'", "The config file 'none.py' was not found"),
        ('runs = dict(', 'runs = dict((', 'could not be read'),
        (
            "student=dict(config='c.py'",
            "student=dict(config='c.py', seeds=[0], cfg_options={"
            "'fake.mode': '{runs.student}'}",
            'student -> student need one another',
        ),
    ],
)
def test_mistakes_in_a_plan(do, old, new, expected):
    assert old in PLAN
    message = do(PLAN.replace(old, new))
    assert message.startswith('error: ') and expected in message
    assert not Path('journal').exists()


def test_values_reach_the_command_as_they_are():
    for value in (
        1, -2.5, 1e-4, True, None, 'word', '/a/b.pth', [1, 2], (3,), [],
        [(1, 2), ['a', 'b']], (640, 480),
    ):  # fmt: skip
        assert sweep_plan._can_be_given('a.b', value), value
    for value in ({}, 'a,b', '12', ' a', [{}], "'a'", ''):
        wanted = value == ''
        assert sweep_plan._can_be_given('a.b', value) == wanted, value


def test_plans_of_the_page(monkeypatch, tmp_path):
    """Those of docs/comparing.md, the second in place of its `runs`."""
    monkeypatch.chdir(REPO)
    plan, runs = (each.code for each in examples(DOCS / 'comparing.md'))
    path = tmp_path / 'plan.py'
    for text, names in (
        (plan, ['student', 'ckd', 'ckd_strong']),
        (plan + runs, ['teacher', 'student', 'ckd']),
    ):
        path.write_text(text)
        found = sweep_plan.read_plan(str(path))
        assert [*found.runs] == names
        for run in found.runs.values():
            assert sweep_settings.settings_of(run, found)['config']
    first = found.order()[0]
    assert first == (found.runs['teacher'], 0)
