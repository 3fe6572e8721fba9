# The teacher of the neu students: the same detector with four times their
# channels in the backbone, as configs/neu/frcnn_r18w32.py trains it.

teacher = dict(
    config='{{ fileDirname }}/../../neu/frcnn_r18w32.py',
    checkpoint='checkpoints/neu/frcnn_r18w32.pth',
)
