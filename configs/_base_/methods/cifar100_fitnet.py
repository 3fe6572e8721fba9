# FitNets' hints (arXiv 1412.6550) with the settings of the comparisons on
# CIFAR-100: the second stage, a regressor of convolution, batch normalisation
# and ReLU, and a weight of 100 on the mean. The cross entropy has a weight of
# 1. The original trains in two stages; here hints and labels train together.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_fitnet=dict(
            type='FitNetLoss',
            student_channels='auto',
            teacher_channels='auto',
            regressor='conv_bn_relu',
            loss_weight=100.0,
            tap=dict(type='FeatureTap', modules='stages.2', resize='pool'),
        )
    ),
)

# The stages of a WRN give sums that may be negative, which a ReLU could not
# match. The comparisons have it there too.
pairs = {
    f'wrn_40_2_{student}': dict(
        distill=dict(losses=dict(loss_fitnet=dict(regressor='conv_bn')))
    )
    for student in (
        *('wrn_16_2', 'wrn_40_1', 'resnet8x4'),
        *('shufflev1', 'mobilenetv2'),
    )
}
