"""Style, boxes, image grids and files of the figures of the tools.

Sizes are for print: a page is 7 inches wide, text has 7 or 8 points.
"""

import numpy as np

PAGE = 7.0
COLUMN = 3.4
# Okabe and Ito's palette, which is safe for colour blindness.
PALETTE = (
    '#0072b2',
    '#d55e00',
    '#009e73',
    '#cc79a7',
    '#e69f00',
    '#56b4e9',
    '#000000',
    '#f0e442',
)
STYLE = {
    'font.size': 7,
    'axes.titlesize': 8,
    'axes.linewidth': 0.6,
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'grid.alpha': 0.3,
    'grid.linewidth': 0.5,
    'lines.linewidth': 1.0,
    'legend.frameon': False,
    'xtick.major.width': 0.6,
    'ytick.major.width': 0.6,
    # Text as text, which journals require and which can be searched.
    'pdf.fonttype': 42,
    'svg.fonttype': 'none',
}


def pyplot():
    """Matplotlib's pyplot with a backend that only writes files."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    return plt


def save(figure, paths, dpi=300):
    """Write a figure and close it.

    Args:
        figure (Figure): The figure.
        paths (list[Path]): Files; the suffix decides the format.
        dpi (int): Dots per inch, also of images in vector formats.
    """
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi)
    pyplot().close(figure)


def show_images(images, columns, width, head, foot, top=0.0):
    """Show one image per row, repeated in each column.

    Args:
        images (list[np.ndarray]): Each (H, W, 3).
        columns (int): Number of columns.
        width (float): Width of the figure, inches.
        head (float): Space above each row, inches.
        foot (float): Space at the bottom of the figure, inches.
        top (float): Additional space at its top, inches.

    Returns:
        tuple[Figure, np.ndarray]: The figure, and axes (rows, columns).
    """
    gap = 0.04
    cell = (width - gap * (columns - 1)) / columns
    heights = [cell * image.shape[0] / image.shape[1] for image in images]
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
            axes.append(axis)
    return figure, np.reshape(axes, (len(images), columns))


def draw_box(axis, item, color, fill=0.0, **style):
    """Draw the box of an annotation or a detection on its image.

    Args:
        axis (Axes): Axes with the image.
        item (dict): Its `bbox` is [x, y, width, height] in pixels.
        color (str): Color of line and area.
        fill (float): Opacity of the area.
        **style: Other arguments of matplotlib's `Rectangle`.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    x, y, width, height = item['bbox']
    axis.add_patch(
        Rectangle(
            # Matplotlib puts the center of the first pixel at 0.
            (x - 0.5, y - 0.5),
            width,
            height,
            edgecolor=color,
            facecolor=to_rgba(color, fill),
            **style,
        )
    )


def draw_name(axis, item, name, color, size):
    """Write a name above a box, or inside it at the top of the image."""
    from matplotlib.colors import to_rgb

    x, y = item['bbox'][:2]
    brightness = np.dot(to_rgb(color), (0.3, 0.6, 0.1))
    is_low = y > 0.08 * max(axis.get_ylim())
    axis.annotate(
        name,
        (x - 0.5, y - 0.5),
        (0, 2 if is_low else -1.5),
        textcoords='offset points',
        size=size,
        color='black' if brightness > 0.4 else 'white',
        va='bottom' if is_low else 'top',
        clip_on=True,
        bbox=dict(facecolor=color, pad=0.8, edgecolor='none'),
    )
