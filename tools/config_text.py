"""The config that MMEngine writes into checkpoints, read without running it.

MMEngine's own way, `Config.fromstring`, runs the text as Python.
"""

import ast


def read_config(text):
    """Read a config of nothing but dicts, lists, tuples and constants.

    Args:
        text (str): As of MMEngine's `Config.pretty_text`.

    Returns:
        dict: Its settings.

    Raises:
        ValueError: If anything else is in it.
    """
    settings = {}
    try:
        for node in ast.parse(text).body:
            if not isinstance(node, ast.Assign):
                raise ValueError(f'line {node.lineno} sets nothing')
            (target,) = node.targets
            settings[target.id] = _value(node.value)
    except (AttributeError, SyntaxError) as error:
        raise ValueError(str(error)) from error
    return settings


def _value(node):
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return {_value(k): _value(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict':
        settings = {}
        for part in node.args:
            settings.update(_value(part))
        return {**settings, **{k.arg: _value(k.value) for k in node.keywords}}
    return ast.literal_eval(node)
