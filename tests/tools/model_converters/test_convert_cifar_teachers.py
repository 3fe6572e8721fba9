"""Published weights: each network computes after converting what it did."""

import tarfile
from argparse import Namespace
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmpretrain')

import convert_cifar_teachers as tool  # noqa: E402

from mmkd_plugin.checkpoints.reading import load_strictly, read_checkpoint  # noqa: E402
from tests.helpers.reference_networks import (  # noqa: E402
    NETWORKS,
    PARAMETERS,
    Weights,
)

FILE = 'ckpt_epoch_240.pth'


def make_published(name):
    """Random weights under the published names, images and their logits."""
    torch.manual_seed(len(name))
    weights, images = Weights(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits = NETWORKS[name](weights, images)
    return weights, images, logits


def save(path, weights, **others):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(model=dict(weights), epoch=240, **others), path)
    return path


def fails(*argv):
    """What a command that fails prints."""
    with pytest.raises(SystemExit) as error:
        tool.main([str(argument) for argument in argv])
    return str(error.value)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The folder of the archive, with two small networks, and other files."""
    folder = tmp_path_factory.mktemp('source') / 'cifar_teachers'
    save(folder / 'resnet20_vanilla' / FILE, make_published('resnet20')[0])
    save(folder / 'ShuffleV1_vanilla' / FILE, make_published('shufflev1')[0])
    (folder / 'resnet20_vanilla' / f'._{FILE}').write_bytes(b'not weights')
    save(folder / 'resnet8_vanilla' / FILE, {})
    return folder


def test_networks_are_those_of_the_reference():
    assert {*tool.NETWORKS} == NETWORKS.keys() == PARAMETERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize('name', NETWORKS)
def test_logits_stay_the_same(name, tmp_path, capsys):
    weights, images, expected = make_published(name)
    source = save(tmp_path / FILE, weights)
    assert (
        sum(
            value.numel()
            for key, value in weights.items()
            if not key.endswith(('_mean', '_var', '_tracked'))
        )
        == PARAMETERS[name]
    )

    tool.main([str(source), '--models', name, '--out', str(tmp_path)])

    target = tmp_path / f'{name}.pth'
    printed = capsys.readouterr().out.splitlines()[-1]
    assert printed == f'{target}: {PARAMETERS[name]:,} parameters'
    state, meta = read_checkpoint(str(target))
    # Every source tensor has ended in one key, and nothing else is there.
    assert sorted(map(tool.rename, weights)) == sorted(state)
    for key, value in weights.items():
        assert torch.equal(state[tool.rename(key)], value)
    classes = meta['dataset_meta']['classes']
    assert len(classes) == 100 and list(classes) == sorted(set(classes))

    model = tool.build(name).eval()
    load_strictly(model, state, str(target))
    with torch.no_grad():
        logits = model(images, mode='tensor')
    assert expected.std() > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', ['tar', 'tar.gz', 'folder'])
def test_archive_and_folder(kind, folder, tmp_path, capsys):
    source, out = folder, tmp_path / 'new' / 'out'
    if kind != 'folder':
        source = tmp_path / f'cifar_teachers.{kind}'
        with tarfile.open(source, 'w:gz' if 'gz' in kind else 'w') as tar:
            tar.add(folder, arcname='cifar_teachers')
    tool.main([str(source), '--out', str(out)])
    assert sorted(path.name for path in out.iterdir()) == [
        'resnet20.pth',
        'shufflev1.pth',
    ]
    printed = capsys.readouterr().out
    assert printed.count(' parameters\n') == 2
    (out / 'resnet20.pth').unlink()
    tool.main([str(source), '--out', str(out), '--models', 'shufflev1'])
    assert [path.name for path in out.iterdir()] == ['shufflev1.pth']
    assert (
        fails(source, '--out', out, '--models', 'vgg8')
        == f'error: {source} holds no vgg8, but resnet20, shufflev1: choose '
        'from these.'
    )


def test_archive_cannot_write_elsewhere(folder, tmp_path):
    archive = tmp_path / 'evil.tar'
    with tarfile.open(archive, 'w') as tar:
        weights = folder / 'resnet20_vanilla' / FILE
        tar.add(weights, arcname=f'../../resnet20_vanilla/{FILE}')
        tar.add(weights, arcname=f'../../resnet20/../../{FILE}')
    unpacked = tmp_path / 'deep' / 'er' / 'folder'
    unpacked.mkdir(parents=True)
    tool.unpack(archive, unpacked)
    assert list(tmp_path.rglob('*.pth')) == [
        unpacked / 'resnet20_vanilla' / FILE
    ]


@pytest.mark.parametrize('legacy', [False, True])
def test_what_training_scripts_save_beside_the_weights(tmp_path, legacy):
    weights, _, _ = make_published('resnet20')
    source = tmp_path / 'resnet20_last.pth'
    torch.save(
        dict(
            opt=Namespace(model='resnet20', lr_decay_epochs=[150, 180, 210]),
            model=dict(weights),
            optimizer=dict(state={0: torch.ones(1)}, param_groups=[{}]),
            accuracy=torch.tensor([69.1]),
        ),
        source,
        _use_new_zipfile_serialization=not legacy,
    )
    tool.main([str(source), '--out', str(tmp_path), '--models', 'resnet20'])
    state, _ = read_checkpoint(str(tmp_path / 'resnet20.pth'))
    assert torch.equal(state['head.fc.bias'], weights['fc.bias'])


def without_fc(weights):
    del weights['fc.bias']


def with_another(weights):
    weights['extra'] = torch.ones(1)


def with_another_shape(weights):
    weights['fc.bias'] = torch.ones(10)


@pytest.mark.parametrize(
    'spoil, problem',
    [
        (without_fc, '1 missing (head.fc.bias)'),
        (with_another, '1 unexpected (backbone.extra)'),
        (
            with_another_shape,
            '1 of another shape (head.fc.bias (10,) instead of (100,))',
        ),
    ],
)
def test_weights_that_do_not_fit(spoil, problem, tmp_path):
    weights, _, _ = make_published('resnet20')
    entries = len(weights)
    spoil(weights)
    source, out = save(tmp_path / FILE, weights), tmp_path / 'out'
    out.mkdir()
    (out / 'resnet20.pth').write_text('old')
    assert fails(source, '--out', out, '--models', 'resnet20') == (
        f"error: The resnet20's checkpoint {source} does not fit its config: "
        f'{problem} of {entries} entries. Name the network that the file '
        'holds by --models.'
    )
    assert (out / 'resnet20.pth').read_text() == 'old'
    assert len(list(out.iterdir())) == 1


def test_file_of_another_network(folder, tmp_path):
    source = folder / 'resnet20_vanilla' / FILE
    said = fails(source, '--out', tmp_path, '--models', 'resnet32')
    assert 'missing (backbone.layer1.3.' in said
    assert said.endswith('Name the network that the file holds by --models.')
    assert not list(tmp_path.iterdir())


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_run(tmp_path):
    source = tmp_path / FILE
    torch.save(dict(model={}, opt=Namespace(a=Evil(tmp_path / 'ran'))), source)
    said = fails(source, '--out', tmp_path, '--models', 'resnet20')
    assert said.startswith(f'error: The checkpoint {source} was refused')
    assert not (tmp_path / 'ran').exists()


def test_bad_sources(folder, tmp_path, capsys):
    weights = folder / 'resnet20_vanilla' / FILE
    for argv in ([weights], [weights, '--models', 'resnet20', 'vgg8']):
        assert fails(*argv) == (
            f'error: {weights} is one file of weights: tell which network it '
            'is by --models and one name.'
        )
    missing = tmp_path / 'no.tar'
    assert fails(missing) == (
        f'error: {missing} was not found: give the path of '
        'cifar_teachers.tar, of its folder or of one .pth file.'
    )
    empty = tmp_path / 'empty'
    empty.mkdir()
    assert fails(empty) == (
        f'error: Expected {empty} to hold files such as '
        f'resnet56_vanilla/{FILE}, but got none: give cifar_teachers.tar, '
        'the folder unpacked from it, or one .pth file with --models.'
    )
    assert fails(weights, '--models', 'resnet20', '--out', weights) == (
        f'error: --out {weights} is a file: give the path of a folder.'
    )
    text = tmp_path / 'text.pth'
    text.write_text('no weights')
    said = fails(text, '--models', 'resnet20', '--out', tmp_path)
    assert f'{text} could not be read' in said
    assert fails(weights, '--models', 'resnet8') == '2'  # argparse
    assert "invalid choice: 'resnet8'" in capsys.readouterr().err


def test_two_files_of_one_network(folder, tmp_path):
    for name in (FILE, 'resnet20_best.pth'):
        save(tmp_path / 'resnet20_vanilla' / name, {})
    assert fails(tmp_path) == (
        f'error: {tmp_path} holds several files of resnet20 '
        f'(resnet20_vanilla/{FILE}, resnet20_vanilla/resnet20_best.pth): '
        'give the right one alone, with --models resnet20.'
    )


def test_archive_that_breaks_off(folder, tmp_path):
    whole, part = tmp_path / 'whole.tar', tmp_path / 'part.tar'
    with tarfile.open(whole, 'w') as tar:
        tar.add(folder, arcname='cifar_teachers')
    content = whole.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    out = tmp_path / 'out'
    said = fails(part, '--out', out)
    assert said.startswith(f'error: The archive {part} could not be read (')
    assert said.endswith('): it is damaged; download it again.')
    assert not out.exists()
