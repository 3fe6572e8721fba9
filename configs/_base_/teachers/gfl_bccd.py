# The teacher of the bccd students of GFL: the same detector with four times
# their channels in the backbone, as configs/bccd/gfl_r18w32.py trains it.

teacher = dict(
    config='{{ fileDirname }}/../../bccd/gfl_r18w32.py',
    checkpoint='checkpoints/bccd/gfl_r18w32.pth',
)
