"""Names of a config that are set where nothing reads them any more.

A config is run from its bases upwards, so that ``train_cfg =
dict(max_epochs=max_epochs)`` of a base has its number before a file on top of
it, or ``--cfg-options``, says ``max_epochs = 15``.  MMEngine reads
``train_cfg`` alone, and would train on without a word.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config

from ..arguments import few
from ..exceptions import MMKDValueError

Links = dict[str, set[str]]
# Another way to write `_base_.name`.
QUOTED = re.compile(r'{{\s*_base_\.(\w+)')


@dataclass
class _File:
    """One file of a config.

    Attributes:
        path: Its path.
        values: Name -> what its own lines set it to, as text.
        own: Name that its lines read -> names that these lines set.
        base: The same of ``_base_.name``.
        bases: The files in its ``_base_``.
    """

    path: str
    values: dict[str, str] = field(default_factory=dict)
    own: Links = field(default_factory=dict)
    base: Links = field(default_factory=dict)
    bases: list['_File'] = field(default_factory=list)

    def all(self) -> Iterator['_File']:
        """This file and those that it is built on."""
        yield self
        for base in self.bases:
            yield from base.all()


def check_dead_names(path: str, known: set[str], keys: Iterable[str]) -> None:
    """Refuse names that are set too late to change anything.

    Refused are names that other lines of the config have read before; a name
    that no line reads is taken to be for a hook of the user.  Not checked are
    configs of Python imports (``read_base``), and what the files of a model
    zoo set themselves.

    Args:
        path: A config that MMEngine can read.
        known: Names that are read of the whole config, such as ``model``.
        keys: Keys of ``--cfg-options``.

    Raises:
        ValueError: If there is such a name.
    """
    if Config._is_lazy_import(path):
        return
    file = _read(path)
    for key in keys:
        name = key.split('.')[0]
        made = [] if name in known else _made_of(name, file, known)
        if made:
            raise MMKDValueError(
                f'--cfg-options {key} changes nothing, because the config '
                f'{path!r} has already made {few(made)} from it: change '
                f'{"these" if len(made) > 1 else "this"} instead.'
            )
    for upper, name, lower in _dead(file, known, set()):
        made = _made_of(name, lower, known)
        raise MMKDValueError(
            f'`{name}` in {upper.path} changes nothing, because {lower.path} '
            f'has already made {few(made)} from its own: set '
            f'{"these" if len(made) > 1 else "this"} too.'
        )


def _dead(
    file: _File, known: set[str], above: set[str]
) -> Iterator[tuple[_File, str, _File]]:
    """Each file, name and base where the file sets it to no effect."""
    if '.mim' in Path(file.path).parts:
        return
    for name, value in file.values.items():
        if name in known or name in file.own or name in above:
            continue
        for base in file.bases:
            others = {lower.values.get(name) for lower in base.all()}
            if others - {None, value} and _made_of(name, base, known):
                yield file, name, base
    for base in file.bases:
        yield from _dead(base, known, above | {*file.base})


def _made_of(name: str, file: _File, known: set[str]) -> list[str]:
    """Which of the known names a file and its bases make of a name."""
    links: Links = {}
    for each in file.all():
        for reads in (each.own, each.base):
            for read, made in reads.items():
                links.setdefault(read, set()).update(made)
    found, new = {name}, links.get(name, set())
    while new:
        found |= new
        new = set().union(*(links.get(each, ()) for each in new)) - found
    return sorted((found - {name}) & known)


def _read(path: str) -> _File:
    """Parse a file and its bases."""
    file = _File(path)
    with TemporaryDirectory() as folder:
        # As MMEngine does before it reads the file.
        copy = Path(folder, Path(path).name)
        Config._substitute_predefined_vars(path, str(copy))
        Config._substitute_env_variables(str(copy), str(copy))
        bases = Config._get_base_files(str(copy))
        text = copy.read_text(encoding='utf-8')
    for base in bases:
        where, _ = Config._get_cfg_path(base, path)
        file.bases.append(_read(where))
    if Path(path).suffix == '.py':
        for line in ast.parse(text).body:
            _note(line, file)
    return file


def _note(line: ast.stmt, file: _File) -> None:
    """Note what a statement sets and reads."""
    own: set[str] = set()
    base: set[str] = set()
    made: set[str] = set()
    for node in ast.walk(line):
        if isinstance(node, ast.Attribute) and _is_base(node.value):
            base.add(node.attr)
        elif isinstance(node, ast.Subscript) and _is_base(node.value):
            base.add(getattr(node.slice, 'value', ''))
        elif isinstance(node, ast.Constant):
            base.update(QUOTED.findall(str(node.value)))
        elif isinstance(node, ast.Name):
            reads = isinstance(node.ctx, ast.Load)
            (own if reads else made).add(node.id)
    for name in made - {'_base_'}:
        file.values[name] = ast.dump(getattr(line, 'value', line))
    # `x.y = z`, `x[0] = z` and `x.update(z)` change x.
    target = getattr(line, 'targets', [getattr(line, 'value', line)])[0]
    while isinstance(target, (ast.Attribute, ast.Subscript, ast.Call)):
        target = target.func if isinstance(target, ast.Call) else target.value
    if isinstance(target, ast.Name):
        made.add(target.id)
    for links, names in ((file.own, own), (file.base, base)):
        for name in names:
            links.setdefault(name, set()).update(made)


def _is_base(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == '_base_'
