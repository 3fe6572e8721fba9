"""Peak memory of a function, on top of what was allocated before."""

import json
import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(function):
    """Largest number of bytes of tensors that a call adds.

    On CUDA, the caching allocator counts them.  On the CPU, PyTorch's
    allocator reports each allocation and release to the profiler, so the
    temporaries of an operator count too.  Neither counts the scratch memory
    of libraries such as MKL and cuBLAS.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        function()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'trace.json')
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    records = [e['args'] for e in events if e.get('name') == '[memory]']
    totals = [record['Total Allocated'] for record in records]
    # Each total includes what was allocated before.
    before = totals[0] - records[0]['Bytes']
    return max(totals) - before
