"""What MMEngine's Runner does that takes longer than a tiny training."""

import ast
import functools

from mmengine.fileio import load


def leave_out_what_takes_long(patch):
    """Run without versions of compilers and hashes of commits.

    Configs are printed unformatted, and the lists of models of a package, in
    which MMEngine looks for each `mmdet::` name, are read once.

    Args:
        patch (pytest.MonkeyPatch): What puts all of it back.
    """
    patch.setattr('mmengine.runner.runner.collect_env', dict)
    for module in ('runner.runner', 'hooks.runtime_info_hook'):
        patch.setattr(f'mmengine.{module}.get_git_hash', lambda: 'unknown')
    # Which of them depends on the version of MMEngine.
    for module in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):
        patch.setattr(f'{module}.FormatCode', unformatted, raising=False)
    patch.setattr('mmengine.config.utils.load', functools.cache(load))


def unformatted(text, **style):
    """Take the place of yapf."""
    return ast.unparse(ast.parse(text)), True
