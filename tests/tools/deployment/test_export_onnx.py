"""export_onnx.py and exportable.py: ONNX Runtime and PyTorch."""

import sys

import export_onnx
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from tests.helpers import tiny, tiny_cls

pytestmark = pytest.mark.slow

# Of one shape, which is no multiple of 32.
INDICES = (0, 2, 4, 6)


def make_detector(**kwargs):
    """A detector with RoIs on all levels, boxes of all classes and no ties."""
    model = tiny.build_detector(**kwargs).eval()
    model.roi_head.bbox_roi_extractor.finest_scale = 6
    model.test_cfg.rcnn.max_per_img = 300
    with torch.no_grad():
        model.rpn_head.rpn_cls.weight *= 30
        model.roi_head.bbox_head.fc_cls.weight *= 30
        model.roi_head.bbox_head.fc_reg.weight *= 30
    return model


def predict(model, data):
    with torch.no_grad():
        return export_onnx.read_prediction(model.test_step(data)[0])


def counts(model, run, indices):
    """Boxes that agree, and all, over images of the tiny data."""
    found = [
        export_onnx.compare(
            run(tiny.batch(index)['inputs'][0][None]),
            predict(model, tiny.batch(index)),
        )
        for index in indices
    ]
    return [sum(column) for column in zip(*found)]


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(mask=True),
        dict(bgr_to_rgb=False, pad_size_divisor=1),
    ],
    ids=['boxes', 'masks', 'unpadded'],
)
def test_exportable_detector_computes_what_mmdet_does(kwargs):
    model = make_detector(**kwargs)
    exportable = export_onnx.make_exportable(model)
    for index in (0, 1):
        data = tiny.batch(index)
        with torch.no_grad():
            found = exportable(data['inputs'][0][None])
        wanted = predict(model, data)
        assert set(wanted['labels'].tolist()) == {0, 1, 2}
        for name, tensor in zip(exportable.outputs, found):
            assert torch.equal(tensor, wanted[name])


def test_a_box_regression_for_each_class():
    model = make_detector()
    head = model.roi_head.bbox_head
    torch.manual_seed(0)
    head.reg_class_agnostic = False
    head.fc_reg = torch.nn.Linear(head.fc_reg.in_features, 4 * 3)
    data = tiny.batch(0)
    with torch.no_grad():
        found = export_onnx.make_exportable(model)(data['inputs'][0][None])
    wanted = predict(model, data)
    assert len(wanted['boxes']) > 5
    assert torch.equal(found[0], wanted['boxes'])


def test_boxes_are_those_of_the_resized_image():
    model = make_detector()
    plain, resized = tiny.batch(0), tiny.batch(0)
    resized['data_samples'][0].set_metainfo(dict(scale_factor=(2.0, 1.5)))
    torch.testing.assert_close(
        predict(model, resized)['boxes'], predict(model, plain)['boxes']
    )


def test_onnx_runtime_finds_the_same_boxes():
    pytest.importorskip('onnxruntime')
    model = make_detector()
    example = tiny.batch(INDICES[0])['inputs'][0][None].float()
    content = export_onnx.export(export_onnx.make_exportable(model), example)
    assert not model.training
    run = export_onnx.open_session(content)
    agree, total = counts(model, run, INDICES)
    assert agree == total > 20
    # An image that takes other ways than that of the export.
    with torch.no_grad():
        model.roi_head.bbox_head.fc_cls.bias[-1] += 1e6
    content = export_onnx.export(export_onnx.make_exportable(model), example)
    blank = export_onnx.open_session(content)(torch.zeros_like(example))
    assert [len(blank[name]) for name in blank] == [0, 0, 0]


def test_onnx_runtime_gives_the_same_classes():
    pytest.importorskip('onnxruntime')
    model = tiny_cls.build_classifier(to_rgb=True).eval()
    exportable = export_onnx.make_exportable(model)
    images = torch.stack(tiny_cls.batch(0, 1, 2)['inputs'])
    content = export_onnx.export(exportable, images[:1].float())
    scores = export_onnx.open_session(content)(images)['scores']
    assert scores.shape == (3, 3)
    for index in range(3):
        wanted = predict(model, tiny_cls.batch(index))
        found = dict(scores=scores[index : index + 1])
        assert export_onnx.compare(found, wanted) == (1, 1)
        assert export_onnx.compare(dict(scores=1 - scores), wanted) == (0, 1)


def test_comparison_sees_what_differs():
    one = dict(
        boxes=torch.tensor([[0.0, 0, 9, 9], [5, 5, 20, 20]]),
        scores=torch.tensor([0.9, 0.9]),
        labels=torch.tensor([1, 2]),
    )

    def agreement(**changes):
        return export_onnx.compare({**one, **changes}, one)

    assert agreement() == (2, 2)
    assert agreement(**{key: one[key].flip(0) for key in one}) == (2, 2)
    assert agreement(labels=torch.tensor([1, 1])) == (1, 2)
    assert agreement(scores=torch.tensor([0.9, 0.8])) == (1, 2)
    assert agreement(boxes=one['boxes'] + 1) == (0, 2)
    assert agreement(**{key: one[key][:1] for key in one}) == (1, 2)
    assert agreement(**{key: one[key][:0] for key in one}) == (0, 2)
    twice = {
        key: one[key].repeat(2, *[1] * (one[key].ndim - 1)) for key in one
    }
    assert export_onnx.compare(twice, one) == (2, 4)


@pytest.mark.parametrize('stage', ['rpn', 'rcnn'])
def test_other_nms_is_refused(stage):
    model = make_detector()
    model.test_cfg[stage].nms.type = 'soft_nms'
    with pytest.raises(SystemExit, match=f'test_cfg.{stage}.nms.*soft_nms'):
        export_onnx.make_exportable(model)


def test_other_models_are_refused():
    model = make_detector()
    model.rpn_head = torch.nn.Identity()
    with pytest.raises(SystemExit, match='Identity and StandardRoIHead'):
        export_onnx.make_exportable(model)
    with pytest.raises(SystemExit, match='Linear cannot be exported'):
        export_onnx.make_exportable(torch.nn.Linear(1, 1))


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The arguments of a command on a tiny detector, and its output."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Boxes', length=6),
    )
    cfg = dict(
        default_scope='mmdet',
        model=tiny.detector_cfg(),
        test_dataloader=loader,
        work_dir=str(tmp_path),
        # As in its training, of which neither the teacher nor what a loss has
        # trained is needed.
        custom_hooks=[
            dict(
                type='DistillHook',
                teacher=dict(config='gone.py', checkpoint='gone.pth'),
                losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0)),
            )
        ],
    )
    Config(cfg).dump(tmp_path / 'config.py')
    torch.save(
        dict(
            state_dict=make_detector().state_dict(),
            distill=dict(loss_x={'connectors.0.weight': torch.ones(3)}),
        ),
        tmp_path / 'student.pth',
    )
    out = tmp_path / 'student.onnx'
    monkeypatch.setattr(
        sys,
        'argv',
        [
            'export_onnx.py',
            str(tmp_path / 'config.py'),
            str(tmp_path / 'student.pth'),
            '--out',
            str(out),
            '--images',
            '2',
        ],
    )
    return out


def test_command_writes_what_it_has_compared(command, capsys):
    pytest.importorskip('onnxruntime')
    export_onnx.main()
    assert 'boxes in 2 test images of 3 x 80 x 100' in capsys.readouterr().out
    assert export_onnx.open_session(command.read_bytes())


@pytest.fixture
def classifier(tmp_path, monkeypatch):
    """A config and images as MMPretrain's users have them.

    `data_preprocessor` stands beside `model`, and the images are files.
    """
    model = tiny_cls.build_classifier(to_rgb=True)
    images = tmp_path / 'images'
    for index, name in enumerate(tiny_cls.CLASSES):
        (images / name).mkdir(parents=True)
        rng = np.random.default_rng(index)
        for number in range(2):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            pixels[..., 0] //= 4  # so that the order of the channels counts
            path = images / name / f'{number}.png'
            Image.fromarray(pixels).save(path)
    cfg = tiny_cls.classifier_cfg(to_rgb=True, pad_size_divisor=32).to_dict()
    preprocessor = cfg.pop('data_preprocessor')
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='CustomDataset',
            data_root=str(images),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='Resize', scale=24),
                dict(type='PackInputs'),
            ],
        ),
    )
    Config(
        dict(
            default_scope='mmpretrain',
            model=cfg,
            data_preprocessor=preprocessor,
            test_dataloader=loader,
        )
    ).dump(tmp_path / 'config.py')
    torch.save(model.state_dict(), tmp_path / 'student.pth')
    files = [str(tmp_path / name) for name in ('config.py', 'student.pth')]
    out = str(tmp_path / 'student.onnx')
    argv = ['export_onnx.py', *files, '--out', out, '--work-dir']
    monkeypatch.setattr(sys, 'argv', [*argv, str(tmp_path / 'work')])
    return tmp_path


def test_file_classifies_images_as_mmpretrain_does(classifier):
    """Read and resized by hand, against MMPretrain's own inferencer."""
    pytest.importorskip('onnxruntime')
    cv2 = pytest.importorskip('cv2')
    from mmpretrain.apis import ImageClassificationInferencer

    export_onnx.main()
    content = (classifier / 'student.onnx').read_bytes()
    run = export_onnx.open_session(content)
    infer = ImageClassificationInferencer(
        str(classifier / 'config.py'),
        pretrained=str(classifier / 'student.pth'),
        device='cpu',
        classes=tiny_cls.CLASSES,
    )
    scores = []
    for path in sorted(classifier.glob('images/*/*.png')):
        image = cv2.resize(cv2.imread(str(path)), (24, 24))
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
        scores.append(run(pixels[None])['scores'][0])
        wanted = torch.tensor(infer(str(path))[0]['pred_scores'])
        torch.testing.assert_close(scores[-1], wanted, rtol=0, atol=1e-3)
        other = run(pixels[None].flip(1))['scores'][0]
        assert (other - wanted).abs().max() > 1e-2
    assert torch.stack(scores).std(0).max() > 2e-3


def test_what_lacks_the_preprocessing_is_noticed(classifier, monkeypatch):
    """The model that is compared with is not the one that is exported."""
    pytest.importorskip('onnxruntime')
    build = export_onnx.model_of
    monkeypatch.setattr(
        export_onnx,
        'model_of',
        lambda cfg: build(
            Config(dict(model=cfg.model, default_scope='mmpretrain'))
        ),
    )
    with pytest.raises(SystemExit, match='Only 0 of .*nothing was written'):
        export_onnx.main()
    assert not (classifier / 'student.onnx').exists()


def test_preprocessor_of_a_detector_beside_its_model(command, capsys):
    pytest.importorskip('onnxruntime')
    path = command.parent / 'config.py'
    cfg = Config.fromfile(path)
    cfg.data_preprocessor = cfg.model.pop('data_preprocessor')
    cfg.dump(path)
    export_onnx.main()
    assert 'are those of PyTorch' in capsys.readouterr().out
    run = export_onnx.open_session(command.read_bytes())
    # The detector that is built with it inside.
    model = tiny.build_detector().eval()
    saved = torch.load(command.parent / 'student.pth')
    model.load_state_dict(saved['state_dict'])
    agree, total = counts(model, run, (0, 2))
    assert agree == total > 5


def test_missing_checkpoint_is_named(command):
    sys.argv[2] = 'nowhere.pth'
    with pytest.raises(SystemExit, match="'nowhere.pth' was not found"):
        export_onnx.main()


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(export_onnx, 'find_spec', lambda name: None)
    with pytest.raises(SystemExit, match='pip install onnx onnxruntime'):
        export_onnx.export(None, None)


def test_command_writes_nothing_that_differs(command, monkeypatch):
    """As if ONNX Runtime computed something else."""
    monkeypatch.setattr(export_onnx, 'export', lambda *args: b'')

    def open_session(content):
        return lambda images: dict(
            boxes=torch.zeros(1, 4),
            scores=torch.ones(1),
            labels=torch.zeros(1, dtype=torch.long),
        )

    monkeypatch.setattr(export_onnx, 'open_session', open_session)
    with pytest.raises(SystemExit, match='Only 0 of .*nothing was written'):
        export_onnx.main()
    assert not command.exists()
