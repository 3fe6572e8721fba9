"""Reading data sets and samples of MMDetection."""

from mmkd_plugin.reports import samples
from tests.helpers import tiny


def test_truth_is_that_of_the_data_set():
    infos = [
        dict(
            img_id=7,
            img_path='a.png',
            instances=[
                dict(bbox=[1, 2, 11, 22], bbox_label=2, ignore_flag=0),
                dict(bbox=[0, 0, 5, 5], bbox_label=0, ignore_flag=1),
            ],
        ),
        dict(img_id='b', img_path='b.png', instances=[]),
    ]

    class Data(list):
        get_data_info = list.__getitem__

    truth = samples.read_truth(Data(infos), tiny.CLASSES)
    assert truth['images'] == [
        dict(id=7, path='a.png'),
        dict(id='b', path='b.png'),
    ]
    assert [a['bbox'] for a in truth['annotations']] == [
        [1, 2, 10, 20],
        [0, 0, 5, 5],
    ]
    assert [a['category_id'] for a in truth['annotations']] == [2, 0]
    assert [a['iscrowd'] for a in truth['annotations']] == [0, 1]
    assert [c['name'] for c in truth['categories']] == list(tiny.CLASSES)
    part = samples.read_truth(Data(infos), tiny.CLASSES, [1])
    assert [image['id'] for image in part['images']] == ['b']
    assert part['annotations'] == []
