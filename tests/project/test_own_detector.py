"""docs/own_detector.md, run from its first line to its last."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet')
pytest.importorskip('sklearn')


import make_digits  # noqa: E402
from mmdet.visualization import DetLocalVisualizer  # noqa: E402

from mmkd_plugin.checkpoints.unpickling import load_from_local  # noqa: E402
from tests.helpers.doc_examples import DOCS, examples  # noqa: E402

pytestmark = pytest.mark.slow

PAGE = DOCS / 'own_detector.md'
# Thin networks without first weights, small images, few of them, no workers.
SMALLER = {
    'model.backbone.base_channels': 4,
    'model.backbone.init_cfg': None,
    'model.neck.out_channels': 8,
    'model.rpn_head.in_channels': 8,
    'model.rpn_head.feat_channels': 8,
    'model.roi_head.bbox_roi_extractor.out_channels': 8,
    'model.roi_head.bbox_head.in_channels': 8,
    'model.roi_head.bbox_head.fc_out_channels': 16,
    'train_dataloader.dataset.pipeline.2.scale': (64, 64),
    'model.train_cfg.rpn_proposal.nms_pre': 100,
    'model.test_cfg.rpn.nms_pre': 100,
    'train_cfg.val_interval': 12,
}
for split in ('train', 'val', 'test'):
    SMALLER[f'{split}_dataloader.num_workers'] = 0
    SMALLER[f'{split}_dataloader.persistent_workers'] = False
for split in ('val', 'test'):
    SMALLER[f'{split}_dataloader.dataset.pipeline.1.scale'] = (64, 64)


@pytest.fixture
def command(monkeypatch, capfd):
    """Runs one line of a shell block and returns what it printed."""

    def run(line):
        script, *args = shlex.split(line)[1:]
        if not line.startswith('python tools/'):
            return subprocess.run(
                line, shell=True, check=True, capture_output=True, text=True
            ).stdout
        if 'my/' in line:
            bottleneck = 4 if 'my/teacher.py' in args else 1  # ResNet-50's
            channels = [bottleneck * width for width in (4, 8, 16, 32)]
            options = {**SMALLER, 'model.neck.in_channels': channels}
            args.append('--cfg-options')
            args += [f'{k}={v}'.replace(' ', '') for k, v in options.items()]
        # In this process, because importing mmdet takes longer than training.
        # There, each run has a visualizer of its own.
        DetLocalVisualizer._instance_dict.clear()
        monkeypatch.setattr(sys, 'argv', [script, *args])
        capfd.readouterr()
        import_module(Path(script).stem).main()
        return capfd.readouterr().out

    return run


def test_the_page_from_data_to_inference(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    sizes = {name: (2, pool) for name, (_, pool) in make_digits.SPLITS.items()}
    monkeypatch.setattr(make_digits, 'SPLITS', sizes)
    Path('my').mkdir()
    printed, names = {}, {}
    blocks = [*examples(PAGE), *examples(PAGE, 'bash')]
    for block in sorted(blocks, key=lambda block: block.line):
        path = re.match(r'# (my/\w+\.py)\n', block.code)
        if path:
            Path(path[1]).write_text(block.code)
        elif block in examples(PAGE, 'bash'):
            for line in block.code.replace('\\\n', '').splitlines():
                printed[line] = command(line)
        else:
            exec(compile(block.code, str(PAGE), 'exec'), names)

    student, distilled = (
        load_from_local(f'work_dirs/{name}/epoch_12.pth')['state_dict']
        for name in ('student', 'distilled')
    )
    assert student.keys() == distilled.keys()
    assert any(not torch.equal(student[k], distilled[k]) for k in student)

    def told(part):
        return [text for line, text in printed.items() if part in line]

    assert told('inspect_config')[0].endswith('Yes.\n')
    assert 'work_dirs/teacher/epoch_12.pth' in told('CKDHook: teacher')[0]
    (shares,) = told('kd_agreement')
    assert shares.count('loss_ckd') == shares.count('kd_teacher_acc') == 2
    tests = told('tools/test.py')
    assert len(tests) == 2
    assert all('coco/bbox_mAP: ' in text for text in tests)
    (longer,) = told('load_from')
    assert 'checkpoint from work_dirs/student/epoch_12.pth' in longer
    assert 'do not match' not in longer
    assert Path('curves.png').stat().st_size
    (published,) = Path('published').glob('*.pth')
    assert torch.load(published, weights_only=True)['state_dict'].keys() == (
        student.keys()
    )
    assert names['model'].dataset_meta['classes'] == make_digits.CLASSES
    assert names['result'].pred_instances.bboxes.shape[1] == 4
