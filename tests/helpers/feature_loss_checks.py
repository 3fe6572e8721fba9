"""What holds for every loss of feature maps: the tests of one inherit it."""

import copy
from typing import NamedTuple

import pytest
import torch

from tests.helpers.feature_cases import CASES, OTHER_CHANNELS, USUAL
from tests.helpers.shared_checks import SharedChecks

every_case = pytest.mark.parametrize('case', CASES.values(), ids=CASES.keys())


class FeatureLoss(NamedTuple):
    """A loss of feature maps by its module, its oracle and its numbers.

    ``oracle(student, teacher, boxes, parameters, **numbers, **settings)``
    gets float64 maps, the student's after the 1x1 adapters if the module
    has them, and the module's parameters and buffers by name.  It gives
    the loss of the batch at weight 1.

    ``trained`` says that the module cannot be built without the channels
    of the maps, ``takes_boxes`` that ``labels`` matter, ``random`` that the
    loss draws numbers: then oracle and module draw the same,
    ``may_differ`` in which of 'channels' and 'sizes' student and teacher may.
    """

    module: type
    oracle: object
    numbers: dict
    settings: dict = {}
    trained: bool = False
    takes_boxes: bool = False
    random: bool = False
    may_differ: tuple = ()

    def arguments(self, case=USUAL):
        """What its module is built from."""
        channels = case.channels() if self.trained else {}
        return dict(
            loss_weight=1.0, **self.numbers, **self.settings, **channels
        )

    def build(self, case=USUAL, **changes):
        """The module for the maps of a case; always the same."""
        torch.manual_seed(0)
        return self.module(**{**self.arguments(case), **changes})

    def expected(self, module, case):
        """The oracle's loss at weight 1."""
        case = case.to(torch.float64)
        parameters = {
            name: value.double() for name, value in module.state_dict().items()
        }
        torch.manual_seed(1)
        return self.oracle(
            adapted(case.student, parameters),
            case.teacher,
            case.boxes,
            parameters,
            **self.numbers,
            **self.settings,
        )


def adapted(maps, parameters):
    """The maps after the 1x1 convolutions, if there are any."""
    if 'adapters.0.weight' not in parameters:
        return maps
    return tuple(
        torch.einsum(
            'dc,bcyx->bdyx',
            parameters[f'adapters.{i}.weight'][:, :, 0, 0],
            own,
        )
        + parameters[f'adapters.{i}.bias'][:, None, None]
        for i, own in enumerate(maps)
    )


def call(module, case):
    """The value of a batch; what is drawn is always the same."""
    torch.manual_seed(1)
    return module(case.student, case.teacher, case.boxes)


def attached(case):
    """The case with maps of the student that want a gradient."""
    student = [own.clone().requires_grad_() for own in case.student]
    return case._replace(student=tuple(student))


def value_and_gradients(module, case):
    case = attached(case)
    value = call(module, case)
    return value.detach(), torch.autograd.grad(value, case.student)


def assert_equals_oracle(loss, module, case):
    expected = loss.expected(module, case)
    value = call(module, case)
    assert value.dtype == torch.float32 and value.shape == ()
    torch.testing.assert_close(value.double(), expected, rtol=2e-5, atol=4e-6)
    wide = copy.deepcopy(module).double()
    value = call(wide, case.to(torch.float64))
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-11)


def assert_gradient_is_right(module, case):
    """That of the maps of the student and of the parameters."""
    module = copy.deepcopy(module).double()
    case = attached(case.to(torch.float64))
    names = [name for name, _ in module.named_parameters()]

    def value(*inputs):
        parameters = dict(zip(names, inputs))
        student = inputs[len(names) :]
        torch.manual_seed(1)
        return torch.func.functional_call(
            module, parameters, (student, case.teacher, case.boxes)
        )

    # Fast: in two directions drawn at random, not along every axis.
    inputs = (*module.parameters(), *case.student)
    torch.autograd.gradcheck(value, inputs, fast_mode=True)


def trained_parameters(module):
    """Names and parameters, without those that are frozen."""
    return [
        (name, parameter)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]


class FeatureLossChecks(SharedChecks):
    """Tests of the loss of feature maps that a subclass sets as ``loss``."""

    loss: FeatureLoss

    def test_says_what_it_reads(self):
        assert self.loss.module.kind == 'features'
        tap = self.loss.module.default_tap
        assert tap['type'] == 'FeatureTap'

    @every_case
    def test_equals_oracle(self, case):
        assert_equals_oracle(self.loss, self.loss.build(case), case)

    @every_case
    def test_gradcheck(self, case):
        assert_gradient_is_right(self.loss.build(case), case)

    @every_case
    def test_float32_gradient_equals_float64_gradient(self, case):
        module = self.loss.build(case)
        _, found = value_and_gradients(module, case)
        _, expected = value_and_gradients(
            module.double(), case.to(torch.float64)
        )
        for grad, wide in zip(found, expected, strict=True):
            assert grad.dtype == torch.float32
            torch.testing.assert_close(
                grad.double(), wide, rtol=1e-4, atol=2e-6
            )

    @every_case
    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision_equals_float32(self, case, dtype):
        module = self.loss.build(case)
        case = case.to(dtype)
        value, grads = value_and_gradients(module, case)
        expected, wide_grads = value_and_gradients(
            module, case.to(torch.float32)
        )
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected)
        for grad, wide_grad in zip(grads, wide_grads, strict=True):
            torch.testing.assert_close(grad, wide_grad.to(dtype))

    def test_types_may_differ(self):
        module = self.loss.build()
        half = USUAL.to(torch.float16)
        found = call(module, USUAL._replace(student=half.student))
        wide = half.to(torch.float32).student
        torch.testing.assert_close(
            found, call(module, USUAL._replace(student=wide))
        )

    def test_teacher_gets_no_gradient(self):
        case = attached(USUAL)
        teacher = [target.clone().requires_grad_() for target in case.teacher]
        module = self.loss.build()
        call(module, case._replace(teacher=tuple(teacher))).backward()
        assert all(own.grad.ne(0).any() for own in case.student)
        assert all(target.grad is None for target in teacher)

    def test_loss_weight_scales_value_and_gradient(self):
        value, grads = value_and_gradients(self.loss.build(), USUAL)
        found, scaled = value_and_gradients(
            self.loss.build(loss_weight=3.0), USUAL
        )
        assert value > 0
        torch.testing.assert_close(found, 3 * value)
        torch.testing.assert_close(scaled, tuple(3 * g for g in grads))

    @pytest.mark.parametrize('scale', [1e4, 1e-4])
    def test_large_and_small_values(self, scale):
        """Also under an offset that is large beside them."""
        module = self.loss.build()
        for offset in (0, 1e4):
            case = USUAL._replace(
                student=tuple(scale * m + offset for m in USUAL.student),
                teacher=tuple(scale * m - offset for m in USUAL.teacher),
            )
            value, grads = value_and_gradients(module, case)
            assert value.isfinite()
            assert all(grad.isfinite().all() for grad in grads)

    @pytest.mark.parametrize('constant', [0.0, 0.1, -1e4 / 3])
    @pytest.mark.parametrize('role', ['student', 'teacher', 'both'])
    def test_constant_maps(self, role, constant):
        roles = ['student', 'teacher'] if role == 'both' else [role]
        case = USUAL._replace(
            **{
                each: tuple(
                    torch.full_like(m, constant) for m in getattr(USUAL, each)
                )
                for each in roles
            }
        )
        value, grads = value_and_gradients(self.loss.build(), case)
        assert value.isfinite()
        assert all(grad.isfinite().all() for grad in grads)

    def test_one_place(self):
        """A map of one image with one place."""
        case = CASES['last of one place']
        case = case._replace(
            student=tuple(own[:1, :, :1, :1] for own in case.student),
            teacher=tuple(target[:1, :, :1, :1] for target in case.teacher),
            boxes=[torch.tensor([[0.2, 0.1, 0.8, 0.9]])],
        )
        value, grads = value_and_gradients(self.loss.build(case), case)
        assert value.isfinite()
        assert all(grad.isfinite().all() for grad in grads)

    def test_order_in_memory_does_not_matter(self):
        module = self.loss.build()
        value, grads = value_and_gradients(module, USUAL)
        moved = USUAL._replace(
            student=tuple(
                own.to(memory_format=torch.channels_last)
                for own in USUAL.student
            ),
            teacher=tuple(
                target.mT.contiguous().mT for target in USUAL.teacher
            ),
        )
        assert not moved.student[0].is_contiguous()
        assert not moved.teacher[0].is_contiguous()
        found, moved_grads = value_and_gradients(module, moved)
        torch.testing.assert_close(found, value)
        torch.testing.assert_close(moved_grads, grads)

    def test_maps_are_left_as_they_are(self):
        before = copy.deepcopy(USUAL)
        value_and_gradients(self.loss.build(), USUAL)
        for maps, kept in zip(USUAL, before, strict=True):
            assert all(map(torch.equal, maps, kept))

    def test_level_without_gradient(self):
        """As of a frozen stage of the backbone."""
        case = attached(USUAL)
        expected = value_and_gradients(self.loss.build(), USUAL)[1]
        student = (case.student[0].detach(), *case.student[1:])
        value = call(self.loss.build(), case._replace(student=student))
        found = torch.autograd.grad(value, student[1:])
        torch.testing.assert_close(found, expected[1:])

    def test_same_value_without_graph(self):
        module = self.loss.build()
        expected, _ = value_and_gradients(module, USUAL)
        with torch.no_grad():
            value = call(module, USUAL)
        torch.testing.assert_close(value, expected)

    def test_draws_numbers_only_if_it_says_so(self):
        module = self.loss.build()
        values = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            values.append(module(*USUAL))
            kept = torch.equal(torch.get_rng_state(), before)
            assert kept != self.loss.random
        assert torch.equal(*values) != self.loss.random

    @pytest.mark.slow
    def test_compiled_equals_eager(self):
        torch.compiler.reset()
        module = self.loss.build()
        compiled = torch.compile(module, backend='aot_eager')
        torch.testing.assert_close(
            value_and_gradients(compiled, USUAL),
            value_and_gradients(module, USUAL),
        )

    def test_boxes_matter_only_if_it_says_so(self):
        module = self.loss.build()
        expected = call(module, USUAL)
        others = [rows.flip(0) / 2 for rows in USUAL.boxes]
        found = call(module, USUAL._replace(boxes=others))
        assert torch.equal(found, expected) != self.loss.takes_boxes
        if self.loss.takes_boxes:
            with pytest.raises(TypeError, match='`labels`'):
                call(module, USUAL._replace(boxes=None))
        else:
            found = call(module, USUAL._replace(boxes=None))
            assert torch.equal(found, expected)

    def test_levels_that_are_not_equally_many(self):
        module = self.loss.build()
        case = USUAL._replace(teacher=USUAL.teacher[:2])
        with pytest.raises(
            ValueError, match='equally many levels but got 3 of .*, 2 of'
        ):
            call(module, case)

    @pytest.mark.parametrize(
        'shape, what',
        [
            ((2, 3, 4, 4), 'sizes'),
            ((2, 3, 5, 3), 'sizes'),
            ((1, 3, 4, 3), 'batches'),
            ((2, 2, 4, 3), 'channels'),
        ],
    )
    def test_shapes_that_differ(self, shape, what):
        module = self.loss.build()
        teacher = list(USUAL.teacher)
        teacher[1] = torch.zeros(shape)
        if what in self.loss.may_differ:
            value = call(module, USUAL._replace(teacher=tuple(teacher)))
            assert value.isfinite()
            return
        message = f'maps of level 1 differ in their {what}: '
        with pytest.raises(ValueError, match=message):
            call(module, USUAL._replace(teacher=tuple(teacher)))

    @pytest.mark.parametrize('role', ['student', 'teacher'])
    def test_logits(self, role):
        module = self.loss.build()
        for given in (torch.zeros(2, 7), (torch.zeros(2, 7),)):
            message = f'argument `{role}` to be feature maps, .*FeatureTap'
            with pytest.raises(TypeError, match=message):
                call(module, USUAL._replace(**{role: given}))

    def test_numbers_that_papers_choose_differently_have_no_default(self):
        with pytest.raises(TypeError, match='required keyword-only arg'):
            self.loss.module()


class TrainedChecks:
    """Tests of what is trained: 1x1 adapters, and the parts of a loss.

    To be inherited beside :class:`FeatureLossChecks` by every loss that
    takes ``student_channels`` and ``teacher_channels``.
    """

    def build(self, **changes):
        arguments = {**OTHER_CHANNELS.channels(), **changes}
        return self.loss.build(OTHER_CHANNELS, **arguments)

    def test_other_channels_equal_oracle(self):
        assert_equals_oracle(self.loss, self.build(), OTHER_CHANNELS)

    def test_other_channels_gradcheck(self):
        assert_gradient_is_right(self.build(), OTHER_CHANNELS)

    @pytest.mark.parametrize('attach', [True, False])
    def test_every_parameter_gets_a_gradient(self, attach):
        """Whether or not the maps want one."""
        module = self.build()
        case = attached(OTHER_CHANNELS) if attach else OTHER_CHANNELS
        call(module, case).backward()
        grads = {n: p.grad for n, p in trained_parameters(module)}
        assert grads
        for name, grad in grads.items():
            assert grad is not None, name
            assert grad.isfinite().all(), name

    def test_training_lowers_the_value(self):
        module = self.build()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        values = []
        for _ in range(20):
            optimizer.zero_grad()
            value = call(module, OTHER_CHANNELS)
            value.backward()
            optimizer.step()
            values.append(value.item())
        assert values[-1] < values[0]

    def test_half_precision_maps_keep_the_parameters(self):
        module = self.build()
        case = attached(OTHER_CHANNELS.to(torch.float16))
        value = call(module, case)
        value.backward()
        assert value.dtype == torch.float32
        grads = [p.grad for _, p in trained_parameters(module)]
        assert {grad.dtype for grad in grads} == {torch.float32}
        assert all(own.grad.dtype == torch.float16 for own in case.student)

    def test_state_can_be_stored(self):
        module, other = self.build(), self.build()
        for parameter in other.parameters():
            torch.nn.init.normal_(parameter)
        other.load_state_dict(module.state_dict())
        assert torch.equal(
            call(other, OTHER_CHANNELS), call(module, OTHER_CHANNELS)
        )

    def test_channels_of_one_alone(self):
        with pytest.raises(TypeError, match='`teacher_channels` to be a list'):
            self.build(teacher_channels=None)

    @pytest.mark.parametrize(
        'channels, message',
        [
            ([2, 0], '`student_channels` to be an integer >= 1 but got 0'),
            ([2], 'equally long but got 1 and 2 levels'),
        ],
    )
    def test_channels_out_of_range(self, channels, message):
        with pytest.raises(ValueError, match=message):
            self.build(student_channels=channels)

    @pytest.mark.parametrize('channels', [2, [], '22'])
    def test_channels_of_another_type(self, channels):
        with pytest.raises(TypeError, match='`student_channels` to be a list'):
            self.build(student_channels=channels)

    def test_maps_of_other_channels_than_it_was_told(self):
        module = self.build(student_channels=[2, 5])
        message = 'level 1 of the student has 4 channels, but .* says 5'
        with pytest.raises(ValueError, match=message):
            call(module, OTHER_CHANNELS)

    def test_fewer_levels_than_it_was_told(self):
        module = self.build()
        case = OTHER_CHANNELS._replace(
            student=OTHER_CHANNELS.student[:1],
            teacher=OTHER_CHANNELS.teacher[:1],
        )
        with pytest.raises(ValueError, match='equally many levels'):
            call(module, case)


class NormalizedChecks(TrainedChecks, FeatureLossChecks):
    """Tests of a loss whose trained layers normalise over the batch."""

    def test_one_place(self):
        """One value has no variance."""
        message = r'level \d is of one image and has one place.* more images'
        with pytest.raises(ValueError, match=message):
            super().test_one_place()

    @every_case
    def test_float32_gradient_equals_float64_gradient(self, case):
        if case is CASES['last of one place']:
            pytest.skip('normalising two numbers magnifies their rounding')
        super().test_float32_gradient_equals_float64_gradient(case)
