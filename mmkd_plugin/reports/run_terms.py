"""Which losses of a run its distillation hooks have added."""

import ast
from pathlib import Path

# Hooks that name their term themselves.
PRESETS = dict(CKDHook='loss_ckd', RLDHook='loss_rld')


def read_terms(work_dir):
    """Read the names of the terms from the configs that a run has recorded.

    The configs are parsed, and no code in them is run.

    Args:
        work_dir (str | Path): Its work directory.

    Returns:
        set[str] | None: Names in the log; empty for a run without a teacher.
        None if they are not known: there is no config, it is broken, or a
        hook is of a class that is not of this package.
    """
    found = None
    for path in Path(work_dir).glob('*/vis_data/config.py'):
        found = found or set()
        try:
            hooks = _hooks(path)
        except (ValueError, SyntaxError):
            return None
        for hook in hooks:
            entries = _entries(hook)
            if 'teacher' not in entries:
                continue
            if 'losses' in entries:
                found |= _entries(entries['losses']).keys()
                continue
            kind = getattr(entries.get('type'), 'value', None)
            if kind not in PRESETS:
                return None
            found.add(PRESETS[kind])
    return found


def _hooks(path):
    """The nodes of the custom hooks in a config."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign):
            names = [getattr(target, 'id', None) for target in node.targets]
            if names == ['custom_hooks']:
                return getattr(node.value, 'elts', [])
    return []


def _entries(node):
    """The entries of dict(a=1), {'a': 1} or dict({'a': 1}): name to node."""
    if isinstance(node, ast.Call):
        found = {word.arg: word.value for word in node.keywords}
        for argument in node.args:
            found |= _entries(argument)
        return found
    if isinstance(node, ast.Dict):
        return {
            getattr(key, 'value', None): value
            for key, value in zip(node.keys, node.values)
        }
    return {}
