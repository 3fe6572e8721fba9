"""What holds for every loss, whatever it reads."""

import pytest


class SharedChecks:
    """Tests of the arguments of the loss that a subclass sets as ``loss``.

    A loss here has its ``module``, its ``numbers``, which are weights and
    temperatures, further ``settings``, ``arguments()``, all that its module
    is built from, and ``build(**changes)``.
    """

    loss: object

    @pytest.mark.parametrize('value', [-1.0, float('nan'), float('inf'), '1'])
    def test_numbers_out_of_range(self, value):
        for name in [*self.loss.numbers, 'loss_weight']:
            ends = (
                '0.0001 to 10000' if name.startswith('tau') else '0 to 100000'
            )
            message = (
                f'Expected argument `{name}` to be a number from {ends} but'
            )
            with pytest.raises(ValueError, match=message):
                self.loss.build(**{name: value})

    def test_zero_is_a_weight_but_no_temperature(self):
        for name in [*self.loss.numbers, 'loss_weight']:
            if name.startswith('tau'):
                with pytest.raises(
                    ValueError, match='0.0001 to 10000 but got 0'
                ):
                    self.loss.build(**{name: 0})
            else:
                assert getattr(self.loss.build(**{name: 0}), name) == 0

    def test_numbers_are_kept_and_shown_as_given(self):
        module = self.loss.build(loss_weight=0.5)
        given = {**self.loss.numbers, **self.loss.settings, 'loss_weight': 0.5}
        for name, number in given.items():
            assert getattr(module, name) == number
            assert f'{name}={number}' in repr(module)

    def test_built_by_name_under_mmdet(self):
        registry = pytest.importorskip('mmdet.registry')
        name = self.loss.module.__name__
        arguments = {**self.loss.arguments(), 'loss_weight': 0.1}
        module = registry.MODELS.build(dict(type=name, **arguments))
        assert type(module) is self.loss.module
        assert module.loss_weight == 0.1
