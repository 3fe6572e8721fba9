"""A checkpoint of a training, without what inference does not need."""

import shrink_checkpoint
import torch

from tests.helpers import adopted


def test_parameters_of_losses_are_left_out(tmp_path):
    """Of a real training with a loss that has some."""
    adopted.save_teacher(tmp_path)
    adopted.run(tmp_path, 'plain', 'work', epochs=1)
    path = tmp_path / 'work' / 'epoch_1.pth'
    content = torch.load(path, weights_only=False)
    assert set(content['distill']) == {'loss_x'}
    shrink_checkpoint.shrink(path, tmp_path / 'small.pth')
    small = torch.load(tmp_path / 'small.pth', weights_only=True)
    assert set(small) == {'meta', 'state_dict'}
    assert list(small['state_dict']) == list(content['state_dict'])
    for name, value in small['state_dict'].items():
        wanted = content['state_dict'][name]
        torch.testing.assert_close(
            value.to(wanted), wanted, rtol=1e-3, atol=1e-6
        )
    # The student's network takes it.
    adopted.SmallNet().load_state_dict(small['state_dict'])
