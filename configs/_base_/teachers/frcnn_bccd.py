# The teacher of the bccd students: the same detector with four times their
# channels in the backbone, as configs/bccd/frcnn_r18w32.py trains it.

teacher = dict(
    config='{{ fileDirname }}/../../bccd/frcnn_r18w32.py',
    checkpoint='checkpoints/bccd/frcnn_r18w32.pth',
)
