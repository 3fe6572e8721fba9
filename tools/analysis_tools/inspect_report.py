"""The report of ``tools/analysis_tools/inspect_config.py``, in Markdown."""

from typing import NamedTuple

import torch
from torch import nn

from mmkd_plugin.distill.adopt import NAME as ADOPTED
from mmkd_plugin.distill.terms import (
    LOGITS,
    kind_of,
    numbers_of,
    part_read,
    settings_of,
)
from mmkd_plugin.summary import describe_backbone, pretrained, size_of
from mmkd_plugin.teachers.classes import match_classes
from mmkd_plugin.teachers.inputs import TeacherInput, read_preprocessing

# Names or shapes per line.
MOST = 8


class Part(NamedTuple):
    """A student or a teacher.

    Attributes:
        title (str): Its heading.
        model (nn.Module): The model.
        weights (str): Where its weights come from.
        classes (Sequence[str] | None): Its class names, if known.
    """

    title: str
    model: nn.Module
    weights: str
    classes: tuple | None


def student_part(cfg, model, classes):
    """The student of a config, built and initialised."""
    sources = list(pretrained(cfg.model))
    if cfg.get('load_from'):
        sources = [str(cfg.load_from)]
    return Part('student', model, ', '.join(sources) or 'random', classes)


def teacher_parts(hook, teachers, several):
    """The teachers of a hook.

    Args:
        hook (DistillHook): The hook.
        teachers (list[Teacher]): Its teachers, none if they cannot be built.
        several (bool): Whether the config has several hooks.

    Returns:
        list[Part]: In the order of the config.
    """
    title = f'teacher of {type(hook).__name__}' if several else 'teacher'
    return [
        Part(
            title,
            teacher.model,
            cfg['checkpoint']
            if teacher.source == str(cfg['checkpoint'])
            else f'**not loaded**: {cfg["checkpoint"]}; random here',
            teacher.classes,
        )
        for cfg, teacher in zip(hook.teacher_cfgs, teachers)
    ]


def compare(parts, macs):
    """Table of the student and its teachers, side by side.

    Args:
        parts (list[Part]): The models.
        macs (list[float | str]): Multiply-adds of each, or why there is no
            number.

    Returns:
        str: The table.
    """
    columns = [_describe(part, count) for part, count in zip(parts, macs)]
    lines = [
        f'| | {" | ".join(part.title for part in parts)} |',
        f'|:--|{":--|" * len(parts)}',
    ]
    for name in columns[0]:
        cells = ' | '.join(column[name] for column in columns)
        lines.append(f'| {name} | {cells} |')
    return '\n'.join(lines)


def _describe(part, macs):
    """Cells of the table for a model, by name."""
    model = part.model
    inputs = read_preprocessing(model.data_preprocessor)
    return {
        'model': type(model).__name__,
        'backbone': describe_backbone(model) or 'none',
        'weights': part.weights,
        'parameters': size_of(model).removesuffix(' parameters'),
        'multiply-adds of inference, per image': macs
        if isinstance(macs, str)
        else f'{macs / 1e9:.3f} G',
        'classes': _few(part.classes or ['names not known']),
        'mean': _numbers(inputs.mean),
        'std': _numbers(inputs.std),
        'red and blue swapped': 'yes' if inputs.reverse else 'no',
        'padding': f'by {inputs.pad_value} to a multiple of {inputs.divisor}',
    }


def describe_hook(runner, hook, teachers, classes, readings, pulls):
    """What a hook does, as a Markdown list.

    Args:
        runner (Runner): The runner.
        hook (DistillHook): The hook.
        teachers (list[Teacher]): Its teachers, none if they cannot be built.
        classes (Sequence[str] | None): The student's class names.
        readings (dict[str, dict]): The ``Reading`` of each stage that a term
            was computed from, if it was; the stage has the name '' where the
            student is no cascade.
        pulls (dict[str, Pull]): Of the terms that were called.

    Returns:
        str: The list.
    """
    student = runner.model
    lines = [f'## {type(hook).__name__}\n']
    for name, (loss, tap) in hook.distiller.terms.items():
        about = [
            *_tap_lines(tap, teachers),
            *_reading_lines(tap, readings.get(name, {})),
            _trained(loss),
            _pull(pulls.get(name)),
        ]
        lines.append(f'* {name}: {numbers_of(loss)}')
        lines += [f'  * {line}' for line in about]
    lines.append(f'* Schedule: {hook.schedule.describe(runner)}')
    if not hook.distiller.task_loss:
        lines.append("* The student's own losses do not train it")
    taps = [tap for tap in hook.distiller.taps if tap is not None]
    for teacher in teachers:
        matches = [
            f'* Classes: {_match(tap, student, classes, teacher)}'
            for tap in taps
            if tap.per_class
        ]
        lines += dict.fromkeys(matches)  # most often the same for all taps
        lines.append(f'* Images: {_conversion(student, teacher)}')
    if hook.evaluate_teacher:
        lines.append(
            '* Before the first step the teacher is evaluated, which was not '
            f'done here; `min_metric`: {hook.min_metric or "none"}'
        )
    return '\n'.join(lines)


def _tap_lines(tap, teachers):
    if tap is None:
        yield 'Tap: **none** fits the student'
        return
    yield f'Tap: {settings_of(tap)}'
    for teacher in teachers:
        try:
            tap.refuse('teacher', teacher.model)
        except TypeError:
            continue  # said below
        yield f'Of the teacher: {part_read(tap, teacher.model)}'


def _reading_lines(tap, stages):
    """Shapes of what a loss was called with."""
    kind = (LOGITS if tap is None else kind_of(tap)).capitalize()
    if not stages:
        yield f'{kind}: none reached the loss in this run'
    for stage, reading in stages.items():
        student, teacher = (_levels(tap, x) for x in reading[:2])
        pairs = [
            f'{name}student {own}, teacher {other}'
            for (name, own), (_, other) in zip(student, teacher)
        ]
        of = f' of stage {stage}' if stage else ''
        yield f'{kind}{of}: {"; ".join(pairs)}, as passed to the loss'
        yield f'Labels {_shapes(reading.labels)}, weights ' + _shapes(
            reading.weights
        )


def _levels(tap, side):
    """Name and shape of the tensors of one side of a reading."""
    if isinstance(side, torch.Tensor):
        return [('', tuple(side.shape))]
    names = getattr(tap, 'levels', None) or range(len(side))
    return [(f'{n} ', tuple(x.shape)) for n, x in zip(names, side)]


def _shapes(part):
    if part is None:
        return 'none'
    return ', '.join(map(str, shapes_in(part))) or 'none'


def _trained(loss):
    """Number of a loss's own parameters, and where they live."""
    trained = {
        name: param.numel()
        for name, param in loss.named_parameters()
        if param.requires_grad
    }
    if not trained:
        return 'Trained parameters: none'
    parts = dict.fromkeys(name.split('.')[0] for name in trained)
    return (
        f'Trained parameters: {sum(trained.values())} in {", ".join(parts)} '
        "of the loss; the run's optimizer trains them, checkpoints have them "
        f'as `{ADOPTED}`, and the student does not'
    )


def _pull(pull):
    """The pull of a term, in words."""
    if pull is None:
        return 'Pull: not measured'
    if pull.ratio is None:
        text = f'no part of {pull.what} reaches what it reads'
    else:
        text = f'{pull.ratio:.4g} times that of {pull.what}'
    return f'Pull: {text}; value {pull.value:.4g}'


def _match(tap, student, classes, teacher):
    """How the teacher's classes are matched, in words."""
    try:
        tap.refuse('student', student)
        tap.refuse('teacher', teacher.model)
    except TypeError:
        return '**not compared**: the tap cannot read both heads'
    numbers = [tap.num_classes(x) for x in (student, teacher.model)]
    missing = [x for x in classes or () if x not in (teacher.classes or ())]
    try:
        columns = match_classes(
            classes,
            teacher.classes,
            *numbers,
            tap.background,
            leave_out=teacher.missing_classes == 'leave_out',
        )
    except ValueError:
        if teacher.classes and missing:
            return f'**the teacher does not know** {", ".join(missing)}'
        return f'**not matched**: {numbers[0]} of {numbers[1]}, see below'
    if columns is not None and missing:
        return (
            f'matched by name; {len(missing)} of {numbers[0]} are left out, '
            f'because the teacher does not know them: {_few(missing)}'
        )
    if columns is not None:
        return (
            f'matched by name; the logits of {_few(classes)} are columns '
            f"{_few(columns)} of the teacher's "
            f'{numbers[1] + tap.background}'
        )
    if classes is None or teacher.classes is None:
        whose = 'student' if classes is None else 'teacher'
        return (
            f'{numbers[0]} on both sides, assumed to be in the same order: '
            f'the names of the {whose} are not known'
        )
    return 'the same, in the same order'


def _conversion(student, teacher):
    """How the student's images are converted for the teacher, in words."""
    convert = TeacherInput(
        student.data_preprocessor,
        teacher.model.data_preprocessor,
        teacher.input_size,
    )
    if convert.identity:
        return "the teacher's preprocessing is the student's"
    end = f'padded by {convert.pad_value} to a multiple of {convert.divisor}'
    if convert.size is not None:
        end = (
            f'resized, with padding of {convert.pad_value}, by '
            f'`input_size={convert.size}`'
        )
    return (
        "converted to the teacher's preprocessing: "
        f'{"red and blue swapped, " if convert.reverse else ""}'
        f'times {_numbers(convert.scale)}, plus {_numbers(convert.shift)}, '
        f'{end}'
    )


def shapes_in(output):
    """Shapes of the tensors in a module's output, at any depth."""
    if isinstance(output, torch.Tensor):
        yield tuple(output.shape)
    elif isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        for value in output:
            yield from shapes_in(value)


def list_modules(part, shapes):
    """Table of the modules of a model whose output a hook can read.

    Args:
        part (Part): The model.
        shapes (dict[str, list[tuple]]): Output shapes of each module.

    Returns:
        str: The table.
    """
    lines = [
        f'## Modules of the {part.title}\n',
        '| name | type | shapes of its output |',
        '|:--|:--|:--|',
    ]
    silent = []
    for name, found in shapes.items():
        if not found:
            silent.append(name)
            continue
        kind = type(part.model.get_submodule(name)).__name__
        lines.append(f'| {name} | {kind} | {_few(found)} |')
    if silent:
        lines.append(f'\nNot called as modules here: {", ".join(silent)}')
    return '\n'.join(lines)


def judge(problems):
    """The conclusion: whether the config would train."""
    if not problems:
        return '## Would it train?\n\nYes.'
    lines = [f'{n}. {text}' for n, text in enumerate(problems, 1)]
    return '\n'.join(['## Would it train?\n\nNo:\n', *lines])


def _few(values):
    """The first few values, for a line."""
    more = f', ... ({len(values)})' if len(values) > MOST else ''
    return ', '.join(map(str, values[:MOST])) + more


def _numbers(tensor):
    return ', '.join(f'{x:.6g}' for x in tensor.flatten().tolist())
