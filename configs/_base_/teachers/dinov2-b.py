# DINOv2 ViT-B/14, trained without labels, without a head: it teaches by maps
# alone. Its images are the student's, resized by a factor of 14 / 16, so that
# its patches of 14 x 14 pixels are the places of p4.

teacher = dict(
    config=dict(
        default_scope='mmpretrain',
        model=dict(
            type='ImageClassifier',
            data_preprocessor=dict(
                type='ClsDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                to_rgb=True,
            ),
            backbone=dict(
                type='VisionTransformer',
                arch='base',
                img_size=518,
                patch_size=14,
                layer_scale_init_value=1e-5,
                out_type='featmap',
            ),
            neck=None,
            head=None,
        ),
    ),
    checkpoint='https://download.openmmlab.com/mmpretrain/v1.0/dinov2/'
    'vit-base-p14_dinov2-pre_3rdparty_20230426-ba246503.pth',
    input_size=14 / 16,
)
