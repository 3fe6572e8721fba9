"""The page of a sweep: one HTML file that needs no other and no network."""

from mmkd_plugin.checkpoints.atomic import write_text


def write_page(plan, out, rows, name='report.html'):
    """Write the page of a sweep; never fail, since it is written last.

    Args:
        plan (Plan): The plan.
        out (Path): The folder of the sweep.
        rows (dict[str, dict]): As ``sweep_report.collect`` returns them.
        name (str): Name of the file.

    Returns:
        str: The path, or a sentence that says why there is none.
    """
    path = out / name
    try:
        # Not above: a library that is missing loses the page alone.
        from .render import render

        write_text(path, render(plan, out, rows))
    except Exception as error:  # the numbers are written, and must stay
        text = ' '.join(str(error).split()) or 'no message'
        return f'{path} was not written: {type(error).__name__}: {text}'
    return str(path)
