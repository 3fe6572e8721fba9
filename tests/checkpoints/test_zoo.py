"""Every way in which MMEngine lets a checkpoint be named."""

import mmengine.runner.checkpoint
import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmkd_plugin.checkpoints import zoo
from mmkd_plugin.checkpoints.reading import read_checkpoint
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """URLs that were asked for; each is a checkpoint with a backbone."""
    path = tmp_path / 'a.pth'
    state = {'backbone.w': torch.ones(1), 'head.w': torch.ones(1)}
    torch.save(dict(state_dict=state), path)
    asked = []

    def download(url):
        asked.append(url)
        return path

    monkeypatch.setattr(zoo, 'download', download)
    return asked


def load(name):
    return CheckpointLoader.load_checkpoint(name, 'cpu')


def test_every_scheme_is_covered_or_refused(fetched):
    known = dict(CheckpointLoader._schemes)
    with safe_loading():
        own = dict(CheckpointLoader._schemes)
        assert list(own) == list(known)
        assert not set(own.values()) & set(known.values())
    covered = {'', *zoo.SCHEMES}
    assert covered < set(known)
    for prefix in set(known) - covered:
        with safe_loading(), pytest.raises(ValueError) as caught:
            own[prefix](f'{prefix}a/b.pth')
        assert explain(caught.value) == zoo.NOT_COVERED.format(
            f'{prefix}a/b.pth'
        )
    for name in ('s3://a/b.pth', 'x:petrel://a', 'pavi://a'):
        with safe_loading(), pytest.raises(ValueError, match='not read here'):
            load(name)
    assert fetched == []


@pytest.mark.parametrize(
    'name, part',
    [
        ('https://example.com/a.pth', 'https://example.com/a.pth'),
        ('torchvision://resnet50', 'download.pytorch.org/models/resnet50'),
        ('modelzoo://resnet18', 'resnet18'),
        ('open-mmlab://detectron/resnet50_caffe', 'resnet50_caffe'),
        ('openmmlab://resnet50_caffe', 'resnet50_caffe'),
        ('mmcls://vgg11', 'vgg11'),
    ],
)
def test_zoos_lead_to_urls(fetched, name, part):
    with safe_loading():
        found = load(name)
    (url,) = fetched
    assert part in url
    names = found['state_dict'].keys()
    if name.startswith('mmcls'):
        assert names == {'w'}
    else:
        assert names == {'backbone.w', 'head.w'}
    assert read_checkpoint(name)[0].keys() == names


def test_model_that_no_zoo_has(fetched):
    with safe_loading(), pytest.raises(ValueError) as caught:
        load('mmcls://nothing')
    assert explain(caught.value).startswith(
        "The checkpoint 'mmcls://nothing' is not among the "
    )


def test_loaders_are_given_back():
    before = CheckpointLoader._schemes
    content = list(before.items())
    with pytest.raises(KeyError), safe_loading():
        assert CheckpointLoader._schemes is not before
        # One within another that trusts does so too.
        with safe_loading(trust=True), safe_loading():
            assert CheckpointLoader._schemes[''].trusts
        assert not CheckpointLoader._schemes[''].trusts
        raise KeyError
    assert CheckpointLoader._schemes is before
    assert list(before.items()) == content
    assert before[''] is mmengine.runner.checkpoint.load_from_local


@pytest.mark.parametrize('value', [1, 0, None, 'True', 'False', 'yes', []])
def test_trust_is_true_or_false(value):
    with pytest.raises(TypeError) as caught:
        read_checkpoint('a.pth', trust_checkpoint=value)
    assert explain(caught.value) == (
        'Expected argument `trust_checkpoint` to be True or False but got '
        f'{value!r}.'
    )
    with pytest.raises(TypeError, match='to be True or False'):
        safe_loading(value).__enter__()


def test_trusted_file_runs_but_torchscript_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = torch.jit.script(torch.nn.Linear(1, 1))
    script.save(tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='is a TorchScript archive'):
        read_checkpoint('a.pth', trust_checkpoint=True)
    with safe_loading(trust=True), pytest.raises(ValueError, match='TorchS'):
        load('a.pth')
