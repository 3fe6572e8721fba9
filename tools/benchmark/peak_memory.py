"""The most memory that a function holds at once, beyond what it began with."""

import json
import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def peak_memory(function):
    """Greatest number of bytes of tensors that a call adds.

    On CUDA it is what the caching allocator counts.  On the CPU it is the
    record that PyTorch's allocator gives the profiler of each allocation and
    release, so tensors within an operator count like those that a user sees.
    Neither counts the scratch memory of libraries such as MKL and cuBLAS.
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
    # What earlier records left is in each total.
    before = totals[0] - records[0]['Bytes']
    return max(totals) - before
