"""The figure of ``tools/analysis_tools/analyze_teacher.py``."""

TEACHER, STUDENT, WRONG, PLAIN = '#0072b2', '#e69f00', '#d55e00', '#555555'
# Bars or dots per panel.
MOST = 10


def draw(path, result):
    """Plot accuracies, errors, masked classes and confidences.

    Args:
        path (Path): The file to write; its suffix decides the format.
        result (dict): As ``analyze`` returns it.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    style = {
        'font.size': 8,
        'axes.titlesize': 9,
        'axes.titlelocation': 'left',
        'axes.spines.top': False,
        'axes.spines.right': False,
        'legend.frameon': False,
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            2, 2, figsize=(7.2, 5.2), layout='constrained'
        )
        draw_classes(axes[0, 0], result['classes'])
        draw_errors(axes[0, 1], result['confusions'])
        draw_masked(axes[1, 0], result['masked'])
        draw_confidence(axes[1, 1], result['confidence'])
        figure.savefig(path, dpi=300)
        plt.close(figure)


def draw_classes(axis, classes):
    """Accuracy of teacher and student by class."""
    seen = [entry for entry in classes if entry['samples']]
    worst = sorted(seen, key=lambda entry: entry['teacher'])[:MOST]
    for y, entry in enumerate(worst):
        ends = [100 * entry['student'], 100 * entry['teacher']]
        axis.plot(ends, [y, y], color=PLAIN, linewidth=0.8, zorder=1)
    for who, color, mark in (
        ('teacher', TEACHER, 'o'),
        ('student', STUDENT, 's'),
    ):
        axis.scatter(
            [100 * entry[who] for entry in worst],
            range(len(worst)),
            s=22,
            color=color,
            marker=mark,
            label=who,
            zorder=2,
        )
    set_lines(axis, [entry['name'] for entry in worst])
    axis.set_xlim(-3, 103)
    among = f', {len(worst)} worst of {len(seen)}'
    axis.set_xlabel(
        f'right, % of the class{among if len(seen) > MOST else ""}'
    )
    axis.set_title('(a) Classes')
    axis.legend(
        loc='lower right',
        bbox_to_anchor=(1, 1),
        ncols=2,
        handletextpad=0.1,
        columnspacing=0.8,
        borderaxespad=0.2,
    )


def draw_errors(axis, confusions):
    """The teacher's most frequent confusions."""
    most = confusions[:MOST]
    axis.barh(
        range(len(most)),
        [100 * entry['of_errors'] for entry in most],
        height=0.65,
        color=WRONG,
    )
    set_lines(
        axis, [f'{entry["label"]} → {entry["choice"]}' for entry in most]
    )
    axis.set_xlabel("% of the teacher's errors")
    axis.set_title('(b) Label → choice of the teacher')


def draw_masked(axis, masked):
    """How many classes RLD masks."""
    total = sum(group['samples'] for group in masked)
    percents = [100 * group['samples'] / total for group in masked]
    names = [group['classes'] for group in masked]
    bars = axis.bar(names, percents, width=0.65, color=TEACHER)
    # The first bar is DKD: only the label is masked.
    bars[0].set(facecolor='#b8cfe0')
    texts = [f'{x:.1f}' if x >= 1 else f'{x:.2g}' for x in percents]
    axis.bar_label(bars, [text.removesuffix('.0') for text in texts], size=7)
    set_log_percent(axis, total)
    axis.set_xlabel('classes that RLD masks (1: RLD equals DKD)')
    axis.set_title('(c) Masked classes')


def draw_confidence(axis, confidence):
    """Histograms of the probability of the predicted class."""
    bins = len(confidence['student'])
    edges = [100 * n / bins for n in range(bins + 1)]
    total = sum(confidence['student'])
    for name, label, color, dashes in (
        ('teacher_right', 'teacher, right', TEACHER, '-'),
        ('teacher_wrong', 'teacher, wrong', WRONG, ':'),
        ('student', 'student', STUDENT, '--'),
    ):
        axis.stairs(
            [100 * count / total for count in confidence[name]],
            edges,
            color=color,
            linestyle=dashes,
            linewidth=1.4,
            label=label,
        )
    set_log_percent(axis, total)
    used = [n for n in range(bins) if any(c[n] for c in confidence.values())]
    axis.set_xlim(edges[used[0]] - 1, 101)
    axis.set_xlabel('probability of the predicted class, %')
    axis.set_title('(d) Confidence')
    axis.legend(loc='best')


def set_log_percent(axis, total):
    """Make the vertical axis logarithmic, in percent of the samples."""
    axis.set_yscale('log')
    axis.set_ylim(50 / total, 250)
    axis.yaxis.set_major_formatter('{x:g}')
    axis.set_ylabel('% of the samples')


def set_lines(axis, names):
    """Label the horizontal lines of a panel, the first on top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.tick_params(axis='y', length=0)
    axis.grid(axis='x', alpha=0.3)
    axis.set_axisbelow(True)
