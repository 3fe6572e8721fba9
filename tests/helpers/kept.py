"""What a computation keeps for its backward pass."""

import torch


def kept_for_backward(function):
    """Numbers of elements of the tensors that autograd saves in a call."""
    sizes = {}

    def save(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes() // tensor.itemsize
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda x: x):
        value = function()
    assert value.requires_grad
    return list(sizes.values())
