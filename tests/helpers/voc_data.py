"""XML files as Pascal VOC has them."""

from tests.helpers.data_worlds import CLASSES, STEPS, Run, save_pictures

XML = """<annotation><size><width>64</width><height>48</height></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>5</xmin>
<ymin>7</ymin><xmax>24</xmax><ymax>22</ymax></bndbox></object>
<object><name>dog</name><bndbox><xmin>31</xmin><ymin>21</ymin><xmax>54</xmax>
<ymax>38</ymax></bndbox></object></annotation>"""


FILTER = dict(filter_empty_gt=True, min_size=32, bbox_min_size=8)


def voc_cfg(folder):
    return dict(
        type='VOCDataset',
        data_root=str(folder),
        metainfo=dict(classes=CLASSES),
        ann_file='list.txt',
        data_prefix=dict(sub_data_root=''),
        filter_cfg=FILTER,
        pipeline=STEPS,
    )


def check_voc(folder, change=None, names='0\n1\n2\n3\n', only=None, **changes):
    """Check data of 4 images; `change` replaces text in the XML files."""
    save_pictures(folder / 'JPEGImages', ending='jpg')
    (folder / 'Annotations').mkdir(exist_ok=True)
    for index in range(4):
        text = XML
        if change and (only is None or index == only):
            text = text.replace(*change)
        if text:
            (folder / 'Annotations' / f'{index}.xml').write_text(text)
    (folder / 'list.txt').write_text(names)
    cfg = voc_cfg(folder) | changes
    test = cfg | dict(filter_cfg=None, test_mode=True)
    return Run(
        train_dataloader=dict(dataset=cfg),
        val_dataloader=dict(dataset=test),
        val_evaluator=dict(type='VOCMetric'),
    ).check()
