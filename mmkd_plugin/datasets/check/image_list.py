"""Image lists, one image per line."""

from ...exceptions import MMKDFileNotFoundError, MMKDValueError


def read_lines(split: str, path: str) -> list[str]:
    """Read the lines of an image list, without line ends.

    Args:
        split: What to call the data in a message.
        path: The file.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is not UTF-8, or empty.
    """
    where = f'The annotation file {path} of the {split} data'
    try:
        with open(path, encoding='utf-8') as file:
            lines = [line.rstrip('\n\r') for line in file]
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MMKDFileNotFoundError(
            f'{where} was not found: correct `ann_file`.'
        ) from error
    except UnicodeDecodeError as error:
        raise MMKDValueError(
            f'{where} is not written in UTF-8: save it as UTF-8.'
        ) from error
    if not lines:
        raise MMKDValueError(
            f'{where} lists no image: expected at least one; give a file '
            'with images.'
        )
    return lines
