# The teacher of the plants students: the same detector with four times their
# channels in the backbone, as configs/plants/frcnn_r18w32.py trains it.

teacher = dict(
    config='{{ fileDirname }}/../../plants/frcnn_r18w32.py',
    checkpoint='checkpoints/plants/frcnn_r18w32.pth',
)
