"""Steps of small detectors of the DETR family, and their decoders by hand."""

import torch
from mmdet.models.layers import coordinate_to_encoding, inverse_sigmoid
from torch import nn

from tests.helpers import tiny, tiny_detr
from tests.helpers.teachers import Shown

KINDS = dict(
    plain=('DeformableDETR', False),
    two_stage=('DeformableDETR', True),
    dino=('DINO', None),
)


def pair(name, seed=1, **kwargs):
    """A student in training, and a teacher with a wider backbone."""
    student = tiny_detr.build_detr(0, *KINDS[name])
    teacher = tiny_detr.build_detr(seed, *KINDS[name], width=16, **kwargs)
    teacher = teacher.requires_grad_(False).eval()
    return student.train(), teacher


class Asked(Shown):
    """A teacher that answers equal questions once, as a `Teacher` does."""

    def __init__(self, *args):
        super().__init__(*args)
        self.answers = {}

    def answer(self, ask):
        if ask not in self.answers:
            self.answers[ask] = super().answer(ask)
        return self.answers[ask]


def step(tap, student, teacher, data=None):
    """One forward of a student with a tap.

    Returns:
        The prepared data, the student's memory and predictions, and the
        teacher, which has seen the images.
    """
    tap.refuse('student', student)
    tap.refuse('teacher', teacher)
    tap.attach(student, teacher)
    seen = {}
    handles = [
        student.encoder.register_forward_hook(
            lambda _, args, output: seen.update(memory=output)
        ),
        student.bbox_head.register_forward_hook(
            lambda _, args, output: seen.update(output=output)
        ),
    ]
    data = student.data_preprocessor(data or tiny.batch(0, 1), True)
    seen['losses'] = student(**data, mode='loss')
    for handle in handles:
        handle.remove()
    return data, seen, Asked(teacher, data['inputs'])


def encode(teacher, features, samples):
    """The teacher's tokens, and what its decoder is given beside them."""
    given, rest = teacher.pre_transformer(features, samples)
    encoded = teacher.forward_encoder(**given)
    start, _ = teacher.pre_decoder(**encoded)
    return {**rest, **start}


def decode(teacher, given, memory):
    """Layer by layer: logits and boxes on both memories.

    Args:
        teacher (nn.Module): A detector.
        given (dict): As of :func:`encode`.
        memory (Tensor): That of the student.

    Returns:
        list[dict]: Logits and boxes of each layer by name, 'x' on the
        student's memory and 't' on the teacher's.
    """
    decoder, head = teacher.decoder, teacher.bbox_head
    dino = hasattr(decoder, 'ref_point_head')
    norm = decoder.norm if dino else nn.Identity()
    query, point = given['query'], given['reference_points']
    position, ratios = given.get('query_pos'), given['valid_ratios']
    rest = {
        name: given[name]
        for name in ('spatial_shapes', 'level_start_index', 'valid_ratios')
    }
    rest['key_padding_mask'] = given['memory_mask']
    layers = []
    for number, layer in enumerate(decoder.layers):
        times = 2 if point.shape[-1] == 4 else 1
        place = point[:, :, None] * torch.cat([ratios] * times, -1)[:, None]
        if dino:
            head_of_points = decoder.ref_point_head
            # Versions differ in the number of features per coordinate.
            sine = coordinate_to_encoding(
                place[:, :, 0],
                num_feats=head_of_points.layers[0].in_features // 4,
            )
            position = head_of_points(sine)
        call = dict(rest, query_pos=position, reference_points=place)
        crossed = layer(query, value=memory, **call)
        query = layer(query, value=given['memory'], **call)
        found = {}
        for name, state in dict(x=crossed, t=query).items():
            branch = head.reg_branches[number](norm(state))
            start = inverse_sigmoid(point)
            if start.shape[-1] == 2:
                start = torch.cat([start, torch.zeros_like(start)], -1)
            found[name] = (
                head.cls_branches[number](norm(state)),
                (branch + start).sigmoid(),
            )
        layers.append(found)
        if dino:
            step = head.reg_branches[number](query)
            point = (step + inverse_sigmoid(point, eps=1e-3)).sigmoid()
        elif teacher.with_box_refine:
            point = found['t'][1]
    return layers
