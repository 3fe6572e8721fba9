"""Publishing students of both libraries."""

import hashlib
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import publish_student
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from mmkd_plugin.checkpoints.unpickling import load_from_local
from tests.helpers import tiny, tiny_cls
from tests.helpers.logs import write_log

CLASSIFIER = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        stem_channels=4,
        base_channels=4,
        num_stages=4,
        out_indices=(3,),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=32),
)
PREPROCESSOR = dict(num_classes=3, **tiny_cls.NORM)
RESIZE = dict(type='Resize', scale=(64, 64))
# Uses the published files as somebody without this package does.
USE = """
import json, sys
import numpy as np
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'mmkd_plugin':
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Block())
detector, its_config, classifier, config, image = sys.argv[1:]
from mmdet.apis import DetInferencer, inference_detector, init_detector
model = init_detector(its_config, detector, device='cpu')
found = inference_detector(model, image).pred_instances
alone = DetInferencer(weights=detector, device='cpu', show_progress=False)
again = alone(image, no_save_vis=True)['predictions'][0]
from mmengine.registry import init_default_scope
from mmpretrain.apis import ImageClassificationInferencer
init_default_scope('mmpretrain')
infer = ImageClassificationInferencer(config, pretrained=classifier)
result = infer(image)[0]['pred_class']
with open('found.json', 'w') as file:
    json.dump(dict(
        classes=model.dataset_meta['classes'], scores=found.scores.tolist(),
        again=again['scores'], result=result), file)
"""


def config_of(kind):
    """The config of a training."""
    last = dict(type='PackDetInputs' if kind == 'det' else 'PackInputs')
    data = dict(
        type='CocoDataset',
        data_root='/home/me/data',
        metainfo=dict(classes=tiny.CLASSES),
        pipeline=[dict(type='LoadImageFromFile'), RESIZE, last],
    )
    cfg = dict(
        custom_imports=dict(imports=['mmkd_plugin']),
        custom_hooks=[
            dict(
                type='CKDHook',
                teacher=dict(config='big.py', checkpoint='/home/me/big.pth'),
            )
        ],
        work_dir='/home/me/work',
        test_dataloader=dict(batch_size=1, dataset=data),
    )
    if kind == 'det':
        model = tiny.detector_cfg().to_dict()
        model['backbone']['init_cfg'] = dict(
            type='Pretrained', checkpoint='/home/me/first.pth'
        )
        visualizer = dict(type='DetLocalVisualizer', save_dir='/home/me')
        more = dict(default_scope='mmdet', visualizer=visualizer)
    else:
        model = CLASSIFIER
        more = dict(default_scope='mmpretrain', data_preprocessor=PREPROCESSOR)
    return dict(cfg, model=model, **more)


def save(path, kind, name='my_student', **changes):
    """Save a checkpoint as MMEngine's runner does; return its weights."""
    cfg = config_of(kind)
    torch.manual_seed(0)
    model = publish_student.build(publish_student.inference_config(cfg))
    state = {**model.state_dict(), **changes}
    meta = dict(
        cfg=Config(cfg).pretty_text,
        epoch=2,
        iter=52,
        seed=np.int64(3),
        experiment_name=f'{name}_20260101_000000',
        time='20260102_101010',
        dataset_meta=dict(classes=tiny.CLASSES, palette=[(1, 2, 3)] * 3),
    )
    hub = dict(log_scalars=dict(loss=HistoryBuffer([1.0, 2.0], [1, 1])))
    content = dict(
        meta=meta,
        state_dict=state,
        message_hub=hub,
        optimizer=dict(state={}),
        ema_state_dict=state,
        # What a loss has trained, which is no part of the student.
        distill=dict(loss_x={'connectors.0.weight': torch.ones(3)}),
    )
    torch.save(content, path)
    if name:
        # As MMEngine's runner does in the work directory.
        Config(cfg).dump(path.parent / f'{name}.py')
    return state


def publish(monkeypatch, *args):
    argv = ['publish_student.py', *map(str, args)]
    monkeypatch.setattr(sys, 'argv', argv)
    publish_student.main()
    (path,) = args[1].glob('*.pth')
    return path


@pytest.mark.parametrize('kind', ['det', 'cls'])
def test_published_file(kind, tmp_path, monkeypatch):
    state = save(tmp_path / 'epoch_2.pth', kind)
    path = publish(monkeypatch, tmp_path / 'epoch_2.pth', tmp_path / 'out')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert path.name == f'my_student_20260102-{digest}.pth'
    content = torch.load(path, weights_only=True)
    assert set(content) == {'meta', 'state_dict'}
    assert b'connectors' not in path.read_bytes()
    assert list(content['state_dict']) == list(state)
    for name, value in content['state_dict'].items():
        assert torch.equal(value, state[name])
    meta = content['meta']
    assert meta['dataset_meta']['classes'] == tiny.CLASSES
    assert meta['seed'] == 3 and meta['epoch'] == 2
    assert not re.search('/home|mmkd_plugin|teacher|init_cfg', meta['cfg'])
    cfg = Config.fromstring(meta['cfg'], '.py')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
        MODELS.build(cfg.model).load_state_dict(content['state_dict'])
    entry = yaml.safe_load(path.with_suffix('.yml').read_text())['Models'][0]
    assert entry['Weights'] == path.name
    assert 'Results' not in entry
    assert '/home' not in path.with_suffix('.yml').read_text()


def test_model_index_reads_the_entry(tmp_path, monkeypatch):
    load = pytest.importorskip('modelindex.load_model_index').load
    save(tmp_path / 'epoch_2.pth', 'det')
    write_log(tmp_path / 'work', loss=[4, 3, 2, 1])
    args = ('--log', tmp_path / 'work', '--dataset', 'Cells')
    path = publish(
        monkeypatch, tmp_path / 'epoch_2.pth', tmp_path / 'out', *args
    )
    index = tmp_path / 'model-index.yml'
    file = path.with_suffix('.yml')
    index.write_text(f'Import:\n- {file.relative_to(tmp_path)}\n')
    index = load(str(index))
    index.build_models_with_collections()
    (model,) = index.models
    assert model.name == 'my_student'
    assert model.metadata.epochs == 2
    (result,) = model.results
    assert (result.task, result.dataset) == ('Object Detection', 'Cells')
    assert result.metrics == {'box AP': 20.0}


@pytest.mark.parametrize(
    'change, message',
    [
        (
            {'teacher.backbone.conv1.weight': torch.zeros(3)},
            r'1 unexpected \(teacher.backbone.conv1.weight\)',
        ),
        (
            {'roi_head.bbox_head.fc_cls.bias': torch.zeros(5)},
            r'1 of another shape \(roi_head.bbox_head.fc_cls.bias',
        ),
    ],
)
def test_anything_but_the_student_is_refused(
    tmp_path, monkeypatch, change, message
):
    save(tmp_path / 'a.pth', 'det', **change)
    with pytest.raises(SystemExit, match=message):
        publish(monkeypatch, tmp_path / 'a.pth', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['a', '../a', '', 'a\n', 5, 'x' * 10**6])
def test_config_in_the_file_is_never_used(tmp_path, monkeypatch, name):
    proof = tmp_path / 'ran'
    text = f"model = dict(type='os.system', command='touch {proof}')"
    meta = dict(cfg=text, experiment_name=name)
    if isinstance(name, str):
        meta['experiment_name'] += '_20260101_000000'
    state = dict(a=torch.zeros(1))
    torch.save(dict(meta=meta, state_dict=state), tmp_path / 'a.pth')
    with pytest.raises(SystemExit, match='are 0 configs.*it by --config'):
        publish(monkeypatch, tmp_path / 'a.pth', tmp_path / 'out')
    assert sorted(tmp_path.iterdir()) == [tmp_path / 'a.pth']


def test_config_beside_is_found_by_its_name(tmp_path, monkeypatch):
    save(tmp_path / 'a.pth', 'cls')
    (tmp_path / 'other.py').write_text('lr = 1')
    path = publish(monkeypatch, tmp_path / 'a.pth', tmp_path / 'out')
    assert path.name.startswith('my_student_')
    (tmp_path / 'my_student.py').unlink()
    (tmp_path / 'another.py').write_text('lr = 1')
    with pytest.raises(SystemExit, match='are 2 configs'):
        publish(monkeypatch, tmp_path / 'a.pth', tmp_path / 'out')


def test_config_of_a_network_of_this_package():
    cfg = dict(
        custom_imports=dict(imports=['mmkd_plugin', 'mine']),
        model=tiny_cls.classifier_cfg().to_dict(),
    )
    kept = publish_student.inference_config(cfg)
    assert kept['custom_imports']['imports'] == ['mmkd_plugin', 'mine']
    cfg['model']['backbone']['type'] = 'ResNet'
    kept = publish_student.inference_config(cfg)
    assert kept['custom_imports']['imports'] == ['mine']


def test_values_that_cannot_be_published():
    with pytest.raises(ValueError, match='expected are numbers, text'):
        publish_student.plain(dict(a=[object()]))
    assert publish_student.plain([Path('a'), date(2026, 1, 2)]) == [
        'a',
        '2026-01-02',
    ]


@pytest.mark.slow
def test_libraries_use_the_files_without_this_package(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / 'image.png')
    args = []
    for kind in ('det', 'cls'):
        save(tmp_path / f'{kind}.pth', kind)
        out = tmp_path / kind
        path = publish(monkeypatch, tmp_path / f'{kind}.pth', out)
        cfg = config_of(kind)
        for key in ('custom_hooks', 'custom_imports'):
            cfg.pop(key)
        Config(cfg).dump(tmp_path / f'{kind}.py')
        args += [path, tmp_path / f'{kind}.py']
    (tmp_path / 'use.py').write_text(USE)
    command = [sys.executable, '-W', 'ignore', 'use.py', *map(str, args)]
    done = subprocess.run(
        [*command, 'image.png'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['classes'] == list(tiny.CLASSES)
    assert found['scores']
    # From the config in the checkpoint alone.
    assert found['again'] == pytest.approx(found['scores'], abs=1e-6)
    assert found['result'] in tiny.CLASSES
    assert load_from_local(args[0])
