"""How the values of a metric are written."""


def digits_of(rows):
    """Decimals to show: 2 for percentages, 4 for fractions.

    Args:
        rows (dict[str, dict]): As ``sweep_report.collect`` returns them.
    """
    values = [value for row in rows.values() for value in row['last'].values()]
    return 2 if max(map(abs, values), default=0) > 1.5 else 4


def number(value, digits, sign=''):
    """Write a value, or nothing if there is none.

    Args:
        value (float | None): The value.
        digits (int): Decimals.
        sign (str): '+' to write the sign of positive ones as well.
    """
    return '' if value is None else f'{value:{sign}.{digits}f}'
