"""CRD: what it has to know of the training set; CC and SimKD."""

from mmengine.registry import DATASETS, MODELS

from mmkd_plugin.losses import CRDLoss
from tests.helpers import tiny_cls
from tests.helpers.errors_page import case

CRD = dict(
    type='CRDLoss',
    dim=4,
    negatives=1,
    tau=0.07,
    momentum=0.5,
    num_samples=2,
    loss_weight=0.8,
    student_channels=[8],
    teacher_channels=[8],
)


@DATASETS.register_module()
class LabelledPictures(tiny_cls.Pictures):
    """Knows the labels of all, and perhaps the places."""

    def __init__(self, shift=0, numbered=True, **kwargs):
        super().__init__(**kwargs)
        self.labels = [index % 3 for index in range(self.length)]
        self.shift = shift
        self.numbered = numbered

    def __getitem__(self, index):
        found = super().__getitem__(index)
        if self.numbered:
            place = (index + self.shift) % self.length
            found['data_samples'].set_metainfo(dict(sample_idx=place))
        return found


@MODELS.register_module()
class UntoldCRDLoss(CRDLoss):
    """Has not been told the classes."""

    see_dataset = None


def crd(w, data=None, **changes):
    data = dict(type='LabelledPictures') | (data or {})
    loader = w.loader(data, collate_fn=dict(type='pseudo_collate'))
    return w.train(w.loss(**CRD | changes), train_dataloader=loader)


case('crd-samples')(lambda w: crd(w, num_samples=50_000))
case('crd-negatives')(lambda w: crd(w, negatives=2))
case('crd-channels')(lambda w: crd(w, student_channels=[8, 8]))
case('crd-length')(lambda w: crd(w, student_channels=[16]))
case('crd-index')(lambda w: crd(w, dict(numbered=False)))
case('crd-place')(lambda w: crd(w, dict(shift=1)))
case('crd-labels')(lambda w: crd(w, dict(type='NamedPictures')))
case('crd-untold')(lambda w: crd(w, type='UntoldCRDLoss'))
case('crd-momentum')(lambda w: crd(w, momentum=2))
case('cc-gamma')(
    lambda w: w.train(w.loss(type='CCLoss', gamma=0, loss_weight=1.0))
)


@case('simkd-channels')
def _(w):
    model = w.model()
    model['neck'] = [
        dict(type='SimKDProjector', in_channels=16, out_channels=8),
        dict(type='GlobalAveragePooling'),
    ]
    return w.train(model=model)
