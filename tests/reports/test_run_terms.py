"""The terms that a run's config names."""

import pytest
from mmengine.config import Config

from mmkd_plugin.hooks import ckd_hook, rld_hook
from mmkd_plugin.reports.run_terms import PRESETS, read_terms
from tests.helpers import tiny


def write(folder, hooks, time='20260101_000000'):
    path = folder / time / 'vis_data' / 'config.py'
    path.parent.mkdir(parents=True)
    Config(dict(custom_hooks=hooks, model=dict(type='A'))).dump(path)
    return path


@pytest.mark.parametrize(
    'hooks, expected',
    [
        ([], set()),
        ([dict(type='EMAHook')], set()),
        ([dict(type='CKDHook', teacher=dict())], {'loss_ckd'}),
        (
            [
                dict(
                    type='DistillHook',
                    teacher=[dict(config='a'), dict(config='b')],
                    losses=dict(loss_a=dict(type='KDLoss'), loss_b=dict()),
                ),
                dict(type='RLDHook', teacher=dict()),
            ],
            {'loss_a', 'loss_b', 'loss_rld'},
        ),
        # Not an identifier, so that MMEngine writes {...}.
        (
            [
                dict(
                    type='DistillHook',
                    teacher=dict(),
                    losses={'loss.a': dict(type='KDLoss')},
                )
            ],
            {'loss.a'},
        ),
        ([dict(type='MyHook', teacher=dict())], None),
    ],
)
def test_terms(tmp_path, hooks, expected):
    write(tmp_path, hooks)
    assert read_terms(tmp_path) == expected


def test_a_resumed_run_has_several_configs(tmp_path):
    write(tmp_path, [dict(type='CKDHook', teacher=dict())])
    write(tmp_path, [dict(type='RLDHook', teacher=dict())], '20260102_000000')
    assert read_terms(tmp_path) == {'loss_ckd', 'loss_rld'}


def test_what_is_not_known(tmp_path):
    assert read_terms(tmp_path) is None
    write(tmp_path, []).write_text('custom_hooks = [dict(')
    assert read_terms(tmp_path) is None


def test_no_code_is_run(tmp_path):
    path = write(tmp_path, [])
    path.write_text(
        f"open({str(tmp_path / 'made')!r}, 'w')\n"
        "custom_hooks = [dict(type='CKDHook', teacher=dict())]\n"
    )
    assert read_terms(tmp_path) == {'loss_ckd'}
    assert not (tmp_path / 'made').exists()


def test_presets_name_their_terms(tmp_path):
    teacher = tiny.save_teacher(tmp_path / 'teacher.pth')
    presets = dict(CKDHook=ckd_hook.CKDHook, RLDHook=rld_hook.RLDHook)
    assert {
        name: next(iter(kind(teacher).distiller.losses))
        for name, kind in presets.items()
    } == PRESETS
