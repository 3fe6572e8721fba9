#!/usr/bin/env python
"""Show where the teacher is right and wrong on the training samples.

Without training, runs student and teacher of a config over some batches of
its training data. A sample is an image, or an RoI that the student samples.
Everything is counted on exactly what the distillation terms are given:

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
# Bins for the number of masked classes: 1, 2, ..., 5, 6 to 10, 11 to 20, ...
GROUPS = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500)
# Rows of a table; the JSON file has all.
MOST = 20
# Columns of the tables, by the keys of :func:`summarize`.
COLUMNS = dict(
    teacher='teacher right',
    student='student right',
    agree='agreement',
    teacher_confidence='confidence of teacher',
    student_confidence='of student',
    differs='RLD differs from DKD',
)


def compare(student, teacher, labels, weights):
    """What is counted for each sample.

    Args:
        student (Tensor): Logits, (N, C).
        teacher (Tensor): Logits, (N, C).
        labels (Tensor): Class ids (N,), or soft labels (N, C), of which the
            largest counts.
        weights (Tensor): (N,); samples of weight 0 do not count.

    Returns:
        dict[str, Tensor]: Each of shape (M,), for the M samples that count:
        ``label``; ``teacher`` and ``student``, the class that each predicts;
        ``teacher_confidence`` and ``student_confidence``, its probability of
        this class; ``masked``, the number of classes that RLD masks, 1 .. C.
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
    """Accuracy, agreement and confidence on a part of the samples.

    Args:
        found (dict[str, Tensor]): As of :func:`compare`.
        part (Tensor): Which samples, bool, (M,).

    Returns:
        dict: Number of ``samples`` and, each in [0, 1] or None without
        samples: the accuracy of ``teacher`` and ``student``; how often they
        ``agree``; how often RLD ``differs`` from DKD, because the teacher
        ranks another class as high as the label; the mean confidences.
    """
    measures = dict(
        teacher=found['teacher'] == found['label'],
        student=found['student'] == found['label'],
        agree=found['teacher'] == found['student'],
        teacher_confidence=found['teacher_confidence'],
        student_confidence=found['student_confidence'],
        differs=found['masked'] > 1,
    )
    count = int(part.sum())
    return dict(samples=count) | {
        name: values[part].double().mean().item() if count else None
        for name, values in measures.items()
    }


def find_confusions(found, names):
    """The teacher's confusions, from its confusion matrix.

    Args:
        found (dict[str, Tensor]): As of :func:`compare`.
        names (list[str]): Of the C classes.

    Returns:
        list[dict]: ``label``, ``choice`` of the teacher, number of
        ``samples``, as a fraction ``of_errors`` of the teacher and of all
        samples ``of_label``; the most frequent first.
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
            samples=int(wrong[label, choice]),
            of_errors=(wrong[label, choice] / wrong.sum()).item(),
            of_label=(wrong[label, choice] / of_label[label]).item(),
        )
        for label, choice in wrong.nonzero().tolist()
    ]
    return sorted(table, key=lambda entry: -entry['samples'])


def count_masked(masked, size):
    """Histogram of the number of masked classes.

    Args:
        masked (Tensor): For each sample, 1 .. C, (M,).
        size (int): Number of classes, C.

    Returns:
        list[dict]: Number of ``samples`` with this many ``classes`` masked, a
        number or a range such as '6-10', by :data:`GROUPS`.
    """
    ends = [end for end in GROUPS if end < size] + [size]
    return [
        dict(
            classes=str(end) if end == begin + 1 else f'{begin + 1}-{end}',
            samples=int(((masked > begin) & (masked <= end)).sum()),
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
    """Count everything that the tables and the picture show.

    Args:
        given (Reading): As :func:`readings.read` returns it.
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
        # Samples whose MCD is 0, because fewer than two classes are left.
        without_mcd=(masked > len(names) - 2).double().mean().item(),
        confidence=count_confidences(found),
    )


def make_tables(result):
    """Format the result of :func:`analyze` as Markdown, in percent."""
    total = result['parts']['all']['samples']
    seen = [entry for entry in result['classes'] if entry['samples']]
    worst = sorted(seen, key=lambda entry: entry['teacher'])[:MOST]
    return '\n'.join(
        [
            f'On {total} samples, in percent:\n',
            *make_table('part', result['parts'].items()),
            f'\nThe {len(worst)} of {len(result["classes"])} classes on '
            'which the teacher is right least often:\n',
            *make_table('class', ((entry['name'], entry) for entry in worst)),
            '\nThe most frequent errors of the teacher:\n',
            '| label | choice | samples | of its errors | of the label |',
            '|:--|:--|--:|--:|--:|',
            *(
                f'| {entry["label"]} | {entry["choice"]} '
                f'| {entry["samples"]} '
                f'| {100 * entry["of_errors"]:.1f} '
                f'| {100 * entry["of_label"]:.1f} |'
                for entry in result['confusions'][:10]
            ),
            '\nClasses that RLD masks, including the label (with fewer than '
            'two left, its MCD is 0: '
            f'{100 * result["without_mcd"]:.2f} % of the samples):\n',
            '| masked | samples | % of all |',
            '|--:|--:|--:|',
            *(
                f'| {group["classes"]} | {group["samples"]} '
                f'| {100 * group["samples"] / total:.2f} |'
                for group in result['masked']
            ),
        ]
    )


def make_table(what, summaries):
    """Lines of a table of names and results of :func:`summarize`."""
    yield f'| {what} | samples | {" | ".join(COLUMNS.values())} |'
    yield f'|:--|{"--:|" * (1 + len(COLUMNS))}'
    for name, part in summaries:
        cells = (
            '' if part[key] is None else f'{100 * part[key]:.1f}'
            for key in COLUMNS
        )
        yield f'| {name} | {part["samples"]} | {" | ".join(cells)} |'


def name_classes(runner, tap, missing):
    """Names of the C columns of the logits, background last.

    Args:
        runner (Runner): Of the student.
        tap: Has read the logits.
        missing (Sequence[str]): Classes that the teacher lacks, which are
            left out.
    """
    dataset = runner.train_dataloader.dataset
    names = names_of(dataset)
    if not names:
        names = map(str, range(tap.num_classes(runner.model)))
    names = [name for name in names if name not in missing]
    return [*names, *['background'] * tap.background]


@explain_errors()
def main():
    parser = readings.build_parser(__doc__.split('\n')[0], batches=20)
    args = parser.parse_args()
    runner, tap, given, missing = readings.collect(args)
    names = name_classes(runner, tap, missing)
    result = analyze(given, names, tap.background)
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
