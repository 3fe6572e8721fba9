"""The picture."""

import sweep_plot


def test_picture(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    def row(baseline, values, low=None, high=None):
        mean = sum(values) / len(values)
        return dict(
            difference=dict(
                baseline=baseline,
                values=dict(enumerate(values)),
                mean=mean,
                low=low,
                high=high,
            )
        )

    shown = []
    monkeypatch.setattr(plt, 'close', lambda figure: shown.append(figure))
    rows = dict(
        small=dict(difference=None),
        kd=row('small', [1.0, 2.0], -4.9, 7.9),
        other=row('large', [-1.0]),
        ckd=row('small', [3.0, 3.5, 4.0], 2.0, 5.0),
    )
    sweep_plot.draw(tmp_path / 'picture.png', rows, 'accuracy/top1')
    (figure,) = shown
    first, second = figure.axes
    labels = [text.get_text() for text in first.get_yticklabels()]
    assert labels == ['kd', 'ckd']
    assert [axis.get_title('left') for axis in figure.axes] == [
        'against small', 'against large'
    ]  # fmt: skip
    assert second.get_xlabel() == 'difference in accuracy/top1'
    dots = first.collections[0].get_offsets()
    assert sorted(dots[:, 0]) == [1, 2]
    # Intervals are there for several seeds only.
    assert len(first.containers) == 2 and not second.containers
    bar = first.containers[1].lines[2][0].get_segments()[0]
    assert list(bar[:, 0]) == [2, 5]
    assert plt.imread(tmp_path / 'picture.png')[..., :3].std() > 0.05
    monkeypatch.undo()
    plt.close(figure)
