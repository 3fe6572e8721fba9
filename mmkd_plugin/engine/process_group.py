"""The end of a process group."""

import torch.distributed


def leave_group() -> None:
    """Leave the process group, if there is one, once all work is done.

    Its threads may otherwise still run while Python exits, and abort a
    process whose results are written: the launcher then stops the ranks that
    have not ended yet.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
