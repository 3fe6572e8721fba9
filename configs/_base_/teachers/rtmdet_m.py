# RTMDet-m, 300 epochs: 49.1 box AP, the teacher of RTMDet-s in MMYOLO.

teacher = dict(
    config='mmdet::rtmdet/rtmdet_m_8xb32-300e_coco.py',
    checkpoint='https://download.openmmlab.com/mmdetection/v3.0/rtmdet/'
    'rtmdet_m_8xb32-300e_coco/'
    'rtmdet_m_8xb32-300e_coco_20220719_112220-229f527c.pth',
)
