"""Images in rows, with annotations and detections drawn on them."""

import numpy as np

from .drawing import pyplot, text_width

# Height of a row, in widths of an image: a tall image is shown smaller.
TALLEST = 1.5
# Width over height from which the figure becomes wider, and how much at most.
WIDE, WIDEST = 2.0, 2.0
GREY = '#444444'


def show_images(images, columns, width, head, foot, top=0.0):
    """Show one image per row, repeated in each column.

    Args:
        images (list[np.ndarray]): Each (H, W, 3).
        columns (int): Number of columns.
        width (float): Width of the figure, inches; up to :data:`WIDEST`
            times as much for wide images.
        head (float): Space above each row, inches.
        foot (float): Space at the bottom of the figure, inches.
        top (float): Additional space at its top, inches.

    Returns:
        tuple[Figure, np.ndarray]: The figure, and axes (rows, columns).
    """
    ratios = [image.shape[1] / image.shape[0] for image in images]
    width *= min(max(np.median(ratios) / WIDE, 1), WIDEST)
    gap = 0.04
    cell = (width - gap * (columns - 1)) / columns
    heights = [cell * min(1 / ratio, TALLEST) for ratio in ratios]
    height = sum(heights) + head * len(images) + foot + top
    figure = pyplot().figure(figsize=(width, height))
    axes, bottom = [], height - top
    for image, tall in zip(images, heights):
        bottom -= head + tall
        for column in range(columns):
            left = column * (cell + gap)
            place = (left / width, bottom / height, cell / width)
            axis = figure.add_axes((*place, tall / height))
            axis.imshow(image)
            axis.set_axis_off()
            # A box may reach over the edge.
            axis.set_autoscale_on(False)
            axes.append(axis)
    return figure, np.reshape(axes, (len(images), columns))


def draw_item(axis, item, verdict, color, dashes='-'):
    """Draw an annotation or a detection on its image.

    Verdicts can be told apart without colours: what is right, or annotated,
    has an outline, what is wrong has a cross too, and what is missed is an
    area without outline.

    Args:
        axis (Axes): Axes with the image.
        item (dict): Its `bbox` is [x, y, width, height] in pixels.
        verdict (str): 'there', 'right', 'wrong' or 'missed'.
        color (str): Color of line or area.
        dashes (str | tuple): Line style of matplotlib.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    x, y, width, height = item['bbox']
    is_missed = verdict == 'missed'
    # Visible on any image.
    rim = [withStroke(linewidth=2.0, foreground='white', alpha=0.8)]
    axis.add_patch(
        Rectangle(
            # Matplotlib puts the center of the first pixel at 0.
            (x - 0.5, y - 0.5),
            width,
            height,
            edgecolor=color,
            facecolor=to_rgba(color, 0.45 if is_missed else 0),
            linewidth=0 if is_missed else 1,
            linestyle=dashes,
            path_effects=None if is_missed else rim,
            label=item['category_id'],
        )
    )
    if verdict == 'wrong':
        axis.plot(
            x - 0.5 + width / 2,
            y - 0.5 + height / 2,
            path_effects=rim,
            zorder=4,  # above texts
            **_cross(color),
        )


def draw_text(axis, item, text, color, size):
    """Write a text above a box, or inside it at the top of the image.

    It ends with the box where it would leave the image on the right.
    """
    from matplotlib.colors import to_rgb

    left, top, width, _ = item['bbox']
    axis.apply_aspect()
    across, down = sorted(axis.get_xlim()), sorted(axis.get_ylim())
    # What is anchored outside of the image would not be drawn.
    x, end = np.clip((left, left + width), *across)
    y = np.clip(top, *down)
    points = 72 / axis.figure.dpi * axis.get_window_extent().width
    scale = points / (across[1] - across[0])
    is_late = text_width(text, size) > scale * (across[1] - x)
    is_low = scale * (y - down[0]) > 1.5 * size
    brightness = np.dot(to_rgb(color), (0.3, 0.6, 0.1))
    axis.annotate(
        text,
        (end if is_late else x, y),
        (0, 2 if is_low else -1.5),
        textcoords='offset points',
        size=size,
        color='black' if brightness > 0.4 else 'white',
        ha='right' if is_late else 'left',
        va='bottom' if is_low else 'top',
        clip_on=True,
        bbox=dict(facecolor=color, pad=0.5, edgecolor='none'),
    )


def mark_handles(right=GREY, wrong=GREY, missed=GREY):
    """Entries of a legend for what is right, wrong and missed, in colours."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(facecolor='none', edgecolor=right, label='found and right'),
        Line2D([], [], **_cross(wrong), label='found but wrong'),
        Patch(facecolor=missed, alpha=0.45, lw=0, label='missed'),
    ]


def _cross(color):
    return dict(
        marker='x', markersize=5, markeredgewidth=1.2, color=color, ls=''
    )
