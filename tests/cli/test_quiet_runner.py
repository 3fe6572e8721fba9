from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmkd_plugin.cli.quiet_runner import QuietRunner, build_runner


def test_config_may_name_its_own_runner(monkeypatch):
    monkeypatch.setattr(
        Runner, 'from_cfg', classmethod(lambda cls, cfg: (cls, cfg.work_dir))
    )

    class Own(Runner):
        pass

    monkeypatch.setitem(RUNNERS.module_dict, 'Own', Own)
    cfg = Config(dict(work_dir='work'))
    assert build_runner(cfg) == (QuietRunner, 'work')
    cfg.runner_type = 'Own'
    assert build_runner(cfg) == (Own, 'work')
