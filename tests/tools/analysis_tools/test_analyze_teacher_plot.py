"""The picture of the teacher's errors."""

import analyze_teacher
import analyze_teacher_plot
import torch


def test_picture(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 400, 12, generator=generator)
    labels = torch.randint(12, (400,), generator=generator)
    labels[labels == 3] = 4  # a class without samples
    teacher[range(300), labels[:300]] += 4
    result = analyze_teacher.analyze(
        (student, teacher, labels, torch.ones(400)),
        [f'class {n}' for n in range(12)],
    )
    shown = []
    monkeypatch.setattr(plt, 'close', lambda figure: shown.append(figure))
    analyze_teacher_plot.draw(tmp_path / 'picture.png', result)
    monkeypatch.undo()
    (figure,) = shown
    classes, errors, masked, confidence = figure.axes
    # The ten worst of those with samples, the worst on top.
    names = [text.get_text() for text in classes.get_yticklabels()]
    seen = [entry for entry in result['classes'] if entry['samples']]
    seen.sort(key=lambda entry: entry['teacher'])
    assert names == [entry['name'] for entry in seen[:10]]
    assert classes.get_xlabel().endswith('10 worst of 11')
    assert classes.yaxis_inverted()
    dots = classes.collections[0].get_offsets()[:, 0]
    assert list(dots) == [100 * entry['teacher'] for entry in seen[:10]]
    widths = [bar.get_width() for bar in errors.patches]
    assert widths == sorted(widths, reverse=True) and len(widths) == 10
    heights = [bar.get_height() for bar in masked.patches]
    assert abs(sum(heights) - 100) < 1e-9
    low, high = masked.get_ylim()
    assert low < 100 / 400 < 100 < high
    assert len(confidence.get_legend().get_texts()) == 3
    # No text of a panel runs into that of another.
    renderer = figure.canvas.get_renderer()
    boxes = [axis.get_tightbbox(renderer).padded(-2) for axis in figure.axes]
    assert not any(
        one.overlaps(other)
        for n, one in enumerate(boxes)
        for other in boxes[:n]
    )
    title = classes.title.axes._left_title.get_window_extent(renderer)
    legend = classes.get_legend().get_window_extent(renderer)
    assert not title.overlaps(legend)
    assert plt.imread(tmp_path / 'picture.png')[..., :3].std() > 0.05
    plt.close(figure)
