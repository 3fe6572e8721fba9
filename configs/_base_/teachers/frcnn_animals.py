# The teacher of the animals students: the same detector with four times their
# channels in the backbone, as configs/animals/frcnn_r18w32.py trains it.

teacher = dict(
    config='{{ fileDirname }}/../../animals/frcnn_r18w32.py',
    checkpoint='checkpoints/animals/frcnn_r18w32.pth',
)
