"""What a tap gives, stage by stage."""


def stages_of(found) -> list[tuple]:
    """The readings of a step, in one form for all taps.

    Args:
        found: What a tap gives: a reading, a list of stages of a cascade,
            each with its name, factor and reading, or None.

    Returns:
        Name, factor and reading of each stage; a reading alone has the name
        '' and the factor 1.
    """
    if found is None:
        return []
    return found if isinstance(found, list) else [('', 1.0, found)]
