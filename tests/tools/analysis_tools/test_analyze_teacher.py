"""analyze_teacher.py: where the teacher is right and wrong."""

import json

import analyze_teacher
import pytest
import torch

from mmkd_plugin.losses import dkd_loss, rld_loss
from tests.helpers import tiny, tiny_cls
from tests.helpers.tool_runs import hook_cfg, run, write_config

NAMES = ['cat', 'dog', 'owl', 'background']


def samples_of(labels, teacher, student=None, weights=None):
    """Samples whose models choose the given classes of four."""
    choices = torch.tensor([teacher, student or teacher])
    teacher, student = torch.nn.functional.one_hot(choices, 4).float() * 3
    # No ties: below the choice the first classes rank highest.
    ranking = torch.tensor([0.3, 0.2, 0.1, 0.0])
    labels = torch.tensor(labels)
    weights = torch.ones(len(labels)) if weights is None else weights
    return student + ranking, teacher + ranking, labels, weights


def test_masked_samples_are_those_where_rld_is_not_dkd():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 200, 6, generator=generator)
    labels = torch.randint(6, (200,), generator=generator)
    # Some teachers tie another class with the label.
    teacher[:20, 0] = teacher[:20, 1]
    labels[:20] = 0
    found = analyze_teacher.compare(student, teacher, labels, torch.ones(200))
    rld = rld_loss(
        student, teacher, labels, alpha=1.0, beta=1.0, tau_scd=1, tau_mcd=1
    )
    dkd = dkd_loss(student, teacher, labels, alpha=1.0, beta=1.0, tau=1)
    assert torch.equal((rld - dkd).abs() > 1e-5, found['masked'] > 1)
    assert 0 < (found['masked'] > 1).sum() < 200


def test_counts():
    result = analyze_teacher.analyze(
        samples_of(
            labels=[0, 0, 0, 0, 1, 1, 3, 3],
            teacher=[0, 0, 1, 1, 1, 3, 3, 0],
            student=[0, 1, 1, 0, 1, 3, 3, 3],
        ),
        NAMES,
        background=1,
    )
    whole, front, back = (
        result['parts'][name] for name in ('all', 'foreground', 'background')
    )
    assert (whole['samples'], front['samples'], back['samples']) == (8, 6, 2)
    assert whole['teacher'] == 4 / 8
    assert whole['student'] == 5 / 8
    assert whole['agree'] == 5 / 8
    assert whole['differs'] == 4 / 8
    assert (front['teacher'], back['teacher']) == (3 / 6, 1 / 2)
    sure = samples_of([0], [0])[1].softmax(1).max().item()
    assert result['classes'][0]['teacher_confidence'] == pytest.approx(
        (2 * sure + 2 * samples_of([0], [1])[1].softmax(1).max().item()) / 4
    )
    assert [entry['name'] for entry in result['classes']] == NAMES
    assert result['classes'][1]['teacher'] == 1 / 2
    assert result['classes'][2] == dict(
        name='owl', samples=0, teacher=None, student=None, agree=None,
        teacher_confidence=None, student_confidence=None, differs=None,
    )  # fmt: skip
    assert result['confusions'][0] == dict(
        label='cat', choice='dog', samples=2, of_errors=0.5, of_label=0.5
    )
    assert len(result['confusions']) == 3
    # The background, taken for a cat, ranks last: all four are masked. A dog
    # that is taken for background has only the cat between them.
    assert result['masked'] == [
        dict(classes='1', samples=4),
        dict(classes='2', samples=2),
        dict(classes='3', samples=1),
        dict(classes='4', samples=1),
    ]
    assert result['without_mcd'] == 2 / 8
    confidence = result['confidence']
    assert sum(confidence['teacher_right']) == 4
    assert sum(confidence['teacher_wrong']) == 4
    assert sum(confidence['student']) == 8


def test_samples_of_no_weight_do_not_count():
    weights = torch.tensor([1.0, 0.0, 0.5])
    given = samples_of([0, 0, 1], [0, 1, 1], weights=weights)
    result = analyze_teacher.analyze(given, NAMES)
    assert list(result['parts']) == ['all']
    assert result['parts']['all']['samples'] == 2
    assert result['parts']['all']['teacher'] == 1
    assert result['confusions'] == []
    assert '| all | 2 | 100.0 |' in analyze_teacher.make_tables(result)


def test_mixed_labels_count_by_the_largest_share():
    student, teacher, _, weights = samples_of([0, 0], [0, 1])
    shares = torch.tensor([[0.6, 0.4, 0, 0], [0.4, 0.6, 0, 0]])
    found = analyze_teacher.compare(student, teacher, shares, weights)
    assert found['label'].tolist() == [0, 1]


def test_many_classes_are_grouped():
    counts = torch.tensor([1, 5, 6, 10, 11, 12, 12])
    groups = analyze_teacher.count_masked(counts, 12)
    assert [group['classes'] for group in groups] == [
        '1', '2', '3', '4', '5', '6-10', '11-12'
    ]  # fmt: skip
    assert [group['samples'] for group in groups] == [1, 0, 0, 0, 1, 2, 3]


def test_tables():
    given = samples_of([0, 0, 1, 3], [0, 1, 1, 3])
    result = analyze_teacher.analyze(given, NAMES, background=1)
    lines = analyze_teacher.make_tables(result).splitlines()
    assert lines[4].startswith('| all | 4 | 75.0 | 75.0 | 100.0 |')
    assert '| cat | dog | 1 | 100.0 | 50.0 |' in lines
    assert '| 1 | 3 | 75.00 |' in lines
    assert not any(line.startswith('| owl') for line in lines)
    columns = {line.count('|') for line in lines if line.startswith('| all')}
    assert columns == {lines[2].count('|')} == {lines[3].count('|')}


@pytest.mark.slow
@pytest.mark.parametrize('classifier', [True, False])
def test_command(classifier, tmp_path, monkeypatch, capsys):
    kind = tiny_cls if classifier else tiny
    width = 8 if classifier else 16
    teacher = kind.save_teacher(tmp_path / 'teacher.pth', width=width)
    config = write_config(
        tmp_path, [hook_cfg(teacher, evaluate_teacher=True)], classifier
    )
    code, out = run(
        monkeypatch, capsys, analyze_teacher, config, '--batches', '1'
    )
    assert code == 0
    # Nothing but the result on the screen.
    assert out.startswith('On ')
    folder = tmp_path / 'config_work'
    result = json.loads((folder / 'teacher.json').read_text())
    assert (folder / 'teacher.png').stat().st_size > 20_000
    assert result['config'] == config
    counts = [entry['samples'] for entry in result['classes']]
    names = [entry['name'] for entry in result['classes']]
    if classifier:
        assert names == ['cat', 'dog', 'owl']
        assert counts == [2, 1, 1]
        assert set(result['parts']) == {'all'}
    else:
        assert names == NAMES
        assert result['parts']['background']['samples'] == counts[-1] > 0
    assert sum(counts) == result['parts']['all']['samples']
