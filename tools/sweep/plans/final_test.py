"""A hook that tests the student on the test split after its training."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner.base_loop import BaseLoop


@HOOKS.register_module()
class TestAtEnd(Hook):
    """Test once after the last epoch, and log the metrics.

    They are logged under the names of the config's ``test_evaluator``, whose
    prefix must differ from that of the validation.
    """

    def __init__(self):
        self._is_testing = False

    def after_run(self, runner):
        """Called by a training, by the test in it, and by a test alone."""
        if self._is_testing or not isinstance(runner._train_loop, BaseLoop):
            return
        self._is_testing = True
        metrics = runner.test()
        self._is_testing = False
        runner.visualizer.add_scalars(metrics, step=runner.epoch)
