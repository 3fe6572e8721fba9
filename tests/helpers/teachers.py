"""Teachers without files, and what they are asked."""

import torch


class Shown:
    """A model that has seen images, and answers as a `Teacher` does."""

    def __init__(self, model, inputs):
        self.model = model
        self.image_size = inputs.shape[-2:]
        with torch.no_grad():
            self.features = model.extract_feat(inputs)

    columns = None
    input_size = None
    missing = None

    def answer(self, ask):
        with torch.no_grad():
            return ask(self.model, self.features)

    def logits(self, ask, pick=None):
        return pick(self.answer(ask)) if pick else self.answer(ask)

    def cross(self, ask, features):
        return ask(self.model, features)

    def reorder(self, logits):
        return logits


class Noting:
    """Stands for a teacher, and notes which logits it is asked for."""

    def logits(self, ask, pick=None):
        self.ask = lambda *call: pick(ask(*call)) if pick else ask(*call)


def asked_by(tap):
    """What a tap asks of its teacher, after a forward of its student."""
    noting = Noting()
    tap.take(noting)
    return noting.ask


def answer(teacher, ask, inputs, data_samples=None):
    """The logits that a `Teacher` gives of images."""
    teacher.see(inputs, data_samples)
    return teacher.logits(ask)
