"""tools/analysis_tools/weigh_terms.py: the pull of a term."""

import math

import pytest
import torch
import weigh_terms

from mmkd_plugin.losses import CKDLoss, KDLoss
from tests.helpers import tiny
from tests.helpers.tool_runs import hook_cfg, run, write_config


def draw(rows, classes=5):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(rows, classes, generator=generator),
        torch.randn(rows, classes, generator=generator),
        torch.randint(classes, (rows,), generator=generator),
        torch.ones(rows),
    )


def test_pull_of_kd_is_the_distance_of_the_probabilities():
    student, teacher, labels, weights = draw(6)
    value, found = weigh_terms.pull(
        KDLoss(tau=1.0), student, teacher, labels, weights
    )
    gap = student.softmax(1) - teacher.softmax(1)
    assert found == pytest.approx(gap.norm(dim=1).mean().item(), rel=1e-5)
    assert value > 0


def test_pull_of_ckd_does_not_grow_with_the_rows():
    """Its value does, as ln N."""
    table = weigh_terms.weigh(
        dict(loss_ckd=CKDLoss(tau=1.0, loss_weight=1.0)),
        draw(2048),
        [128, 1024],
    )
    (small, name, low, weak), (large, _, high, strong) = table
    assert (small, large, name) == (128, 1024, 'loss_ckd')
    assert high - low == pytest.approx(math.log(8), abs=0.02)
    assert strong == pytest.approx(weak, rel=0.05)
    text = weigh_terms.make_table(table)
    assert '|  1024 | 6.93 | loss_ckd |' in text


def test_pull_is_proportional_to_the_weight():
    rows = draw(64)
    losses = dict(
        loss_one=KDLoss(tau=1.0), loss_three=KDLoss(tau=1.0, loss_weight=3.0)
    )
    (*_, one), (*_, three) = weigh_terms.weigh(losses, rows, [64])
    assert three == pytest.approx(3 * one)


PKD = dict(type='PKDLoss', loss_weight=6.0)
BOX = dict(
    type='BoxL1Loss', loss_weight=0.5, tap=dict(type='RoIBoxTap', rows='label')
)


def tables(tmp_path, monkeypatch, capsys, losses, *options, stages=0):
    """What is printed of a detector: exit code, and cells by first cell."""
    teacher = tiny.save_teacher(
        tmp_path / 'teacher.pth', width=16, stages=stages
    )
    hook = hook_cfg({**teacher, 'classes': tiny.CLASSES}, losses=losses)
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Boxes', length=8),
        collate_fn=dict(type='pseudo_collate'),
    )
    model = tiny.detector_cfg(stages=stages)
    config = write_config(
        tmp_path, [hook], train_dataloader=loader, model=model
    )
    code, out = run(
        monkeypatch, capsys, weigh_terms, config, '--batches', '2', *options
    )
    lines = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in out.splitlines()
        if line.startswith('|')
    ]
    return code, {f'{x[0]} {x[2]}' if len(x) > 4 else x[0]: x for x in lines}


def test_boxes_and_features(tmp_path, monkeypatch, capsys):
    losses = dict(loss_box=BOX, loss_pkd=PKD)
    code, found = tables(tmp_path, monkeypatch, capsys, losses)
    assert code == 0
    assert found['loss_box'][2:] == ['0.5000', '`loss_bbox`']
    _, value, pull, what = found['loss_pkd']
    assert what == 'the task losses'
    # PKD is 0 to 2 times its weight, for each of four levels.
    assert 0 < float(value) < 48
    assert float(pull) > 0
    squares = [found[f'p{n}'] for n in (2, 3, 4, 5)]
    shapes = ['(2, 16, 24, 32)', '(2, 16, 12, 16)', '(2, 16, 6, 8)']
    assert [row[1] for row in squares] == [*shapes, '(2, 16, 3, 4)']
    # By itself, of the same four images.
    model = tiny.build_detector(7, width=16).eval()
    wanted = []
    for pair in ((0, 1), (2, 3)):
        data = model.data_preprocessor(tiny.batch(*pair), False)
        with torch.no_grad():
            maps = model.extract_feat(data['inputs'])
        wanted.append([x.pow(2).mean().item() for x in maps[:4]])
    for n, row in enumerate(squares):
        mean = (wanted[0][n] + wanted[1][n]) / 2
        assert float(row[2]) == pytest.approx(mean, rel=1e-3)


def test_logits_beside_features(tmp_path, monkeypatch, capsys):
    losses = dict(loss_pkd=PKD, loss_kd=dict(type='KDLoss', tau=1.0))
    code, found = tables(
        tmp_path, monkeypatch, capsys, losses, '--samples', '64'
    )
    assert code == 0
    assert float(found['64 loss_kd'][-1]) > 0
    assert 'loss_pkd' in found and 'p5' in found
    assert 'loss_kd' not in found


def test_without_batches(tmp_path, monkeypatch, capsys):
    code, _ = tables(
        tmp_path, monkeypatch, capsys, dict(loss_pkd=PKD), '--batches', '0'
    )
    assert code.startswith('error: No sample reached the losses in 0 batches')


def test_samples_of_a_cascade_are_those_of_all_stages(
    tmp_path, monkeypatch, capsys
):
    """Two batches of two images with 32 RoIs each, at three stages."""
    losses = dict(loss_box=BOX, loss_kd=dict(type='KDLoss', tau=1.0))
    code, found = tables(
        tmp_path,
        monkeypatch,
        capsys,
        losses,
        '--samples',
        '300',
        stages=3,
    )
    assert code == 0
    assert float(found['300 loss_kd'][-1]) > 0
    assert found['loss_box'][2:] == ['0.5000', '`loss_bbox`']
