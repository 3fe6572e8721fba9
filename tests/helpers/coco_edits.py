"""Edits of a COCO file."""

from tests.helpers.data_worlds import (
    coco,
)


def each(part, **values):
    """An edit of all entries of a list; a function gets the entry."""

    def edit(content):
        for entry in content[part]:
            for key, value in values.items():
                entry[key] = value(entry) if callable(value) else value

    return edit


def first(part, **values):
    def edit(content):
        content[part][0].update(values)

    return edit


def from_zero(content):
    content.update(coco(first=0))


def to_corners(entry):
    x, y, width, height = entry['bbox']
    return [x, y, x + width, y + height]


def to_shares(entry):
    x, y, width, height = entry['bbox']
    return [x / 64, y / 48, width / 64, height / 48]


def change(key, value, only=slice(None)):
    def edit(content):
        for entry in content['annotations'][only]:
            if value is None:
                del entry[key]
            else:
                entry[key] = value(entry) if callable(value) else value

    return edit


def rename(content):
    for entry in content['images']:
        entry['file_name'] = f'x{entry["file_name"]}'
