#!/usr/bin/env python
"""Where the teacher is right and wrong on the rows that the student trains on.

Without training, runs student and teacher of a config over some batches of
its training data. A row is an image, or an RoI that the student samples. All
is counted on exactly what the distillation terms are given:

    python tools/analysis_tools/analyze_teacher.py CONFIG --student STUDENT.pth

It prints Markdown tables and writes teacher.json and teacher.png into the
work directory.
"""

import json
from pathlib import Path

import readings
import torch
from analyze_teacher_plot import draw

from mmkd_plugin.checkpoints.atomic import write_text
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.datasets.class_names import names_of

# Bins of a confidence, which lies in (0, 1].
BINS = 20
# Groups of numbers of masked classes: 1, 2, ..., 5, 6 to 10, 11 to 20, ...
GROUPS = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500)
# Lines of a table; the JSON file has all.
MOST = 20
# What :func:`summarize` gives, in the words of the tables.
SHARES = dict(
    teacher='teacher right',
    student='student right',
    agree='agree',
    teacher_confidence='confidence of teacher',
    student_confidence='of student',
    differs='RLD differs from DKD',
)


def compare(student, teacher, labels, weights):
    """What there is to be counted about each row.

    Args:
        student (Tensor): Logits, (N, C).
        teacher (Tensor): Logits, (N, C).
        labels (Tensor): Class ids (N,), or shares of the classes (N, C), of
            which the largest counts.
        weights (Tensor): (N,); rows of weight 0 do not count.

    Returns:
        dict[str, Tensor]: Of M rows, each (M,): ``label``; ``teacher`` and
        ``student``, the class that each chooses; ``teacher_confidence`` and
        ``student_confidence``, the probability that it gives to this class;
        ``masked``, the number of classes that RLD masks, 1 .. C.
    """
    if labels.ndim == 2:
        labels = labels.argmax(1)
    kept = weights > 0
    student, teacher, labels = student[kept], teacher[kept], labels[kept]
    sure = {
        name: logits.softmax(1).max(1)
        for name, logits in (('teacher', teacher), ('student', student))
    }
    return dict(
        label=labels,
        teacher=sure['teacher'].indices,
        student=sure['student'].indices,
        teacher_confidence=sure['teacher'].values,
        student_confidence=sure['student'].values,
        masked=(teacher >= teacher.gather(1, labels[:, None])).sum(1),
    )


def summarize(found, part):
    """Shares and means of a part of the rows.

    Args:
        found (dict[str, Tensor]): As of :func:`compare`.
        part (Tensor): Which rows, bool, (M,).

    Returns:
        dict: Number of ``rows`` and, each in [0, 1] or None without rows,
        the shares of which ``teacher`` and ``student`` are right, that
        ``agree``, and of which RLD ``differs`` from DKD because the teacher
        ranks another class as high as the label; the mean confidences.
    """
    shares = dict(
        teacher=found['teacher'] == found['label'],
        student=found['student'] == found['label'],
        agree=found['teacher'] == found['student'],
        teacher_confidence=found['teacher_confidence'],
        student_confidence=found['student_confidence'],
        differs=found['masked'] > 1,
    )
    count = int(part.sum())
    return dict(rows=count) | {
        name: values[part].double().mean().item() if count else None
        for name, values in shares.items()
    }


def find_confusions(found, names):
    """Which class the teacher takes for which.

    Args:
        found (dict[str, Tensor]): As of :func:`compare`.
        names (list[str]): Of the C classes.

    Returns:
        list[dict]: ``label`` and ``choice`` of the teacher, ``rows``, their
        share ``of_errors`` of the teacher and ``of_label``; the most
        frequent first.
    """
    size = len(names)
    pairs = size * found['label'] + found['teacher']
    matrix = pairs.bincount(minlength=size * size).view(size, size)
    of_label = matrix.sum(1)
    wrong = matrix.clone().fill_diagonal_(0)
    table = [
        dict(
            label=names[label],
            choice=names[choice],
            rows=int(wrong[label, choice]),
            of_errors=(wrong[label, choice] / wrong.sum()).item(),
            of_label=(wrong[label, choice] / of_label[label]).item(),
        )
        for label, choice in wrong.nonzero().tolist()
    ]
    return sorted(table, key=lambda entry: -entry['rows'])


def count_masked(masked, size):
    """Histogram of the number of masked classes.

    Args:
        masked (Tensor): Of each row, 1 .. C, (M,).
        size (int): Number of classes, C.

    Returns:
        list[dict]: Number of ``rows`` with so many ``classes``, a number or
        a range such as '6-10', over :data:`GROUPS`.
    """
    ends = [end for end in GROUPS if end < size] + [size]
    return [
        dict(
            classes=str(end) if end == begin + 1 else f'{begin + 1}-{end}',
            rows=int(((masked > begin) & (masked <= end)).sum()),
        )
        for begin, end in zip([0, *ends], ends)
    ]


def count_confidences(found):
    """Histograms of the confidences over :data:`BINS` equal bins."""
    right = found['teacher'] == found['label']
    confidence = found['teacher_confidence']
    parts = dict(
        teacher_right=confidence[right],
        teacher_wrong=confidence[~right],
        student=found['student_confidence'],
    )
    return {
        name: values.histc(BINS, 0, 1).long().tolist()
        for name, values in parts.items()
    }


def analyze(given, names, background=0):
    """Count all that the tables and the picture show.

    Args:
        given (Reading): As :func:`readings.read` gives it.
        names (list[str]): Of the C classes.
        background (int): How many of the last of them are background.

    Returns:
        dict: Fit for JSON.
    """
    found = compare(*given)
    label, masked = found['label'], found['masked']
    parts = dict(all=torch.ones_like(label, dtype=torch.bool))
    if background:
        parts['foreground'] = label < len(names) - background
        parts['background'] = ~parts['foreground']
    return dict(
        parts={name: summarize(found, part) for name, part in parts.items()},
        classes=[
            dict(name=name, **summarize(found, label == index))
            for index, name in enumerate(names)
        ],
        confusions=find_confusions(found, names),
        masked=count_masked(masked, len(names)),
        # Rows on which MCD is 0, for want of two classes to rank.
        without_mcd=(masked > len(names) - 2).double().mean().item(),
        confidence=count_confidences(found),
    )


def make_tables(result):
    """Lay out the result of :func:`analyze` as Markdown, in per cent."""
    total = result['parts']['all']['rows']
    seen = [entry for entry in result['classes'] if entry['rows']]
    worst = sorted(seen, key=lambda entry: entry['teacher'])[:MOST]
    return '\n'.join(
        [
            f'On {total} rows, in per cent:\n',
            *share_table('part', result['parts'].items()),
            f'\nThe {len(worst)} of {len(result["classes"])} classes on '
            'which the teacher is right least often:\n',
            *share_table('class', ((entry['name'], entry) for entry in worst)),
            '\nThe most frequent errors of the teacher:\n',
            '| label | choice | rows | share of its errors | of the label |',
            '|:--|:--|--:|--:|--:|',
            *(
                f'| {entry["label"]} | {entry["choice"]} | {entry["rows"]} '
                f'| {100 * entry["of_errors"]:.1f} '
                f'| {100 * entry["of_label"]:.1f} |'
                for entry in result['confusions'][:10]
            ),
            '\nClasses that RLD masks, the label among them (with fewer than '
            'two left, its MCD is 0: '
            f'{100 * result["without_mcd"]:.2f} % of the rows):\n',
            '| masked | rows | share |',
            '|--:|--:|--:|',
            *(
                f'| {group["classes"]} | {group["rows"]} '
                f'| {100 * group["rows"] / total:.2f} |'
                for group in result['masked']
            ),
        ]
    )


def share_table(what, summaries):
    """Lines of a table of names and what :func:`summarize` gave."""
    yield f'| {what} | rows | {" | ".join(SHARES.values())} |'
    yield f'|:--|{"--:|" * (1 + len(SHARES))}'
    for name, part in summaries:
        shares = (
            '' if part[key] is None else f'{100 * part[key]:.1f}'
            for key in SHARES
        )
        yield f'| {name} | {part["rows"]} | {" | ".join(shares)} |'


def name_classes(runner, tap):
    """Names of the C columns of the logits, background last."""
    dataset = runner.train_dataloader.dataset
    names = names_of(dataset)
    if not names:
        names = map(str, range(tap.num_classes(runner.model)))
    return [*names, *['background'] * tap.background]


@explain_errors()
def main():
    parser = readings.build_parser(__doc__.split('\n')[0], batches=20)
    args = parser.parse_args()
    runner, distiller, given = readings.collect(args)
    (tap,) = distiller.taps
    result = analyze(given, name_classes(runner, tap), tap.background)
    result = dict(
        config=args.config,
        student=args.student,
        batches=args.batches,
        **result,
    )
    print(make_tables(result))
    folder = Path(runner.work_dir)
    write_text(folder / 'teacher.json', json.dumps(result, indent=2))
    draw(folder / 'teacher.png', result)
    print(f'\nWritten: {folder / "teacher.json"}, {folder / "teacher.png"}')


if __name__ == '__main__':
    main()
