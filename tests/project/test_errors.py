"""Every kind of bad input has a row in docs/errors.md, and a test."""

import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mmkd_plugin import MMKDError
from mmkd_plugin.checkpoints.reading import load_strictly
from mmkd_plugin.cli.errors import explain, explain_errors
from mmkd_plugin.exceptions import MMKDTypeError, MMKDValueError
from mmkd_plugin.losses import KDLoss
from tests.errors.cases import CASES
from tests.helpers.data_sentences import CASES as DATA_ROWS
from tests.helpers.errors_page import rows

REPO = Path(__file__).parents[2]
# Errors that are brought about by `main` too, where the rest of what they are
# about is tested: reading the config of a teacher, the start of a training,
# data, or a run of several processes. `trained-*` and `resume-loss-plain` are
# of runs that the commands do not start. Of `unknown-rank` the other machine
# is only told of.
ELSEWHERE = {
    'nonfinite-elsewhere': (
        'tests/engine/test_ranks.py',
        'test_nan_on_another_rank_is_not_saved',
    ),
    'lost-rank': (
        'tests/engine/test_ranks.py',
        'test_rank_that_is_killed_is_named',
    ),
    'failed-rank': (
        'tests/engine/test_ranks.py',
        'test_rank_with_an_error_is_named_with_it',
    ),
    'unknown-rank': (
        'tests/engine/test_ranks.py',
        'test_rank_on_another_machine',
    ),
    **dict.fromkeys(
        ('trained-runner', 'trained-wrapper', 'trained-object'),
        ('tests/distill/test_adopt.py', 'test_refused'),
    ),
    'class-distances': (
        'tests/losses/test_wkdl.py',
        'test_without_the_teacher',
    ),
    'class-distances-shape': (
        'tests/losses/test_wkdl.py',
        'test_distances_of_other_classes',
    ),
    'resume-loss-plain': (
        'tests/distill/test_adopt.py',
        'test_resume_without_the_hook_of_exact_resume',
    ),
    'teacher-config-folder': (
        'tests/teachers/test_config.py',
        'test_folder',
    ),
    'teacher-config-import': (
        'tests/teachers/test_config.py',
        'test_import_that_fails',
    ),
    'teacher-config-type': (
        'tests/teachers/test_config.py',
        'test_type_of_plain_python',
    ),
    'teacher-config-dict-import': (
        'tests/teachers/test_config.py',
        'test_dict_with_imports_that_fail',
    ),
    'teacher-config-code': (
        'tests/teachers/test_config.py',
        'test_code_that_fails',
    ),
    'teacher-config-base': (
        'tests/teachers/test_config.py',
        'test_base_that_is_gone',
    ),
    'teacher-config-circle': (
        'tests/teachers/test_config.py',
        'test_bases_in_a_circle',
    ),
    'teacher-config-argument': (
        'tests/teachers/test_config.py',
        'test_arguments_that_its_model_has_not',
    ),
    'teacher-classes-text': (
        'tests/teachers/test_config.py',
        'test_classes_of_the_option',
    ),
    'teacher-classes-kind': (
        'tests/teachers/test_config.py',
        'test_classes_of_the_option',
    ),
    'teacher-classes-none': (
        'tests/teachers/test_config.py',
        'test_classes_of_the_option',
    ),
    'classes-text-file': (
        'tests/teachers/test_config.py',
        'test_text_in_a_checkpoint',
    ),
    'class-spelling': (
        'tests/teachers/test_config.py',
        'test_another_case',
    ),
    'metainfo-parts': (
        'tests/teachers/test_config.py',
        'test_metainfo_of_the_student',
    ),
    'metainfo-text': (
        'tests/teachers/test_config.py',
        'test_metainfo_of_the_student',
    ),
    'metainfo-old': (
        'tests/teachers/test_config.py',
        'test_metainfo_of_the_student',
    ),
    'first-weights-little': (
        'tests/tools/test_train_start.py',
        'test_names_of_a_wrapper',
    ),
    'first-weights-missing': (
        'tests/tools/test_train_start.py',
        'test_file_that_is_not_there',
    ),
    'no-batch': (
        'tests/tools/test_train_start.py',
        'test_no_batch',
    ),
    'no-iteration': (
        'tests/tools/test_train_start.py',
        'test_no_iteration',
    ),
    'no-batch-came': (
        'tests/tools/test_train_start.py',
        'test_batches_that_do_not_come',
    ),
}
# Each row on data is brought about by the command too, beside the check.
ELSEWHERE |= dict.fromkeys(
    DATA_ROWS, ('tests/datasets/check/test_sentences.py', 'test_sentence')
)


def test_page_has_one_row_for_each_case():
    names = [name for name, *_ in rows()]
    assert len(set(names)) == len(names)
    assert set(names) == {*CASES, *ELSEWHERE}
    assert not set(CASES) & set(ELSEWHERE)
    assert len(names) >= 130
    assert all(printed and advice for _, printed, advice in rows())


@pytest.mark.parametrize('name', ELSEWHERE)
def test_is_tested_elsewhere(name):
    path, test = ELSEWHERE[name]
    assert f'def {test}(' in (REPO / path).read_text()


@pytest.mark.slow
@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh'])
def test_scripts_ask_for_a_free_port(script):
    with socket.socket() as used:
        used.bind(('127.0.0.1', 0))
        used.listen()
        port = str(used.getsockname()[1])
        result = subprocess.run(
            ['bash', REPO / 'tools' / script, 'x', '1', '1'],
            capture_output=True,
            text=True,
            env=dict(os.environ, PORT=port),
        )
    assert result.returncode == 1
    assert result.stderr == (
        f'error: The port {port} of the distributed run is in use: choose '
        'another one with PORT=...\n'
    )


class OwnError(MMKDError):
    """Of a loss of a user."""


class TwoPartError(MMKDError):
    """Cannot be made of its message alone, as loader processes try."""

    def __init__(self, name, value):
        super().__init__(f'{name} is {value}: correct it.')


def raised_by_hook(error):
    """What MMEngine makes of the TypeError of a hook."""
    try:
        raise error
    except TypeError as caught:
        try:
            raise TypeError(f'{caught} in <hook>') from None
        except TypeError as again:
            return again


def raised_in_worker(error):
    """What PyTorch makes of the error of a loader process."""
    from torch._utils import ExceptionWrapper

    try:
        try:
            raise KeyError('an earlier one')
        except KeyError:
            raise error  # noqa: B904
    except Exception:
        wrapper = ExceptionWrapper(where='in DataLoader worker process 0')
    try:
        wrapper.reraise()
    except Exception as again:
        return again


def raised_from(error):
    try:
        raise RuntimeError('the step failed') from error
    except RuntimeError as again:
        return again


@pytest.mark.parametrize(
    'error', [MMKDTypeError('x is 1.'), OwnError('x is 1.')]
)
@pytest.mark.parametrize(
    'wrap', [lambda e: e, raised_by_hook, raised_in_worker, raised_from]
)
def test_own_errors_are_seen_through_what_wraps_them(error, wrap):
    if wrap is raised_by_hook and not isinstance(error, TypeError):
        return  # MMEngine leaves these alone
    assert explain(wrap(error)) == 'x is 1.'
    assert explain(wrap(wrap(error))) == 'x is 1.'


def test_own_error_that_cannot_be_made_anew():
    again = raised_in_worker(TwoPartError('x', 1))
    assert type(again) is RuntimeError
    assert explain(again) == 'x is 1: correct it.'
    assert explain(raised_in_worker(ValueError('x'))) is None


def test_lines_of_a_message_become_one():
    assert explain(MMKDError('a\n  b')) == 'a b'
    assert explain(raised_in_worker(MMKDError('a\n  b'))) == 'a b'
    assert explain(MMKDError()) == 'MMKDError'


def test_error_while_an_own_one_is_handled_is_a_mistake():
    try:
        try:
            raise MMKDValueError('x')
        except MMKDValueError:
            raise TypeError('y')  # noqa: B904
    except TypeError as error:
        assert explain(error) is None


def test_error_that_names_itself_as_its_cause():
    try:
        error = ValueError('x')
        raise error from error
    except ValueError as caught:
        assert explain(caught) is None


@pytest.mark.parametrize(
    'error',
    [
        ValueError('x'),
        TypeError('x() is bad'),
        TypeError('KDLoss.forward() missing 1 required argument'),
        KeyError('meta'),
        KeyError(),
    ],
)
def test_what_is_not_expected_keeps_its_traceback(error):
    with pytest.raises(type(error)) as caught, explain_errors():
        raise error
    assert caught.value is error


def test_mistake_in_the_plugin_keeps_its_traceback():
    with pytest.raises(AttributeError), explain_errors():
        load_strictly(None, {}, 'weights.pth')


def test_traceback_on_demand(monkeypatch):
    monkeypatch.setenv('MMKD_TRACEBACK', '1')
    with pytest.raises(ValueError, match='`tau`'), explain_errors():
        KDLoss(tau=0)


def test_noise_is_no_image():
    """As `image-damaged` needs it."""
    cv2 = pytest.importorskip('cv2')
    assert cv2.imdecode(np.frombuffer(b'noise', np.uint8), 1) is None
