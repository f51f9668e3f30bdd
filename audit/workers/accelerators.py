"""GPUs of this machine, and how many workers fit on one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

_MIB = 1 << 20
#: More processes on one GPU wait for it longer than they gain by preparing texts side by side.
_MOST_PER_GPU = 4


def gpu_memory() -> tuple[int, ...]:
    """Bytes of each NVIDIA GPU that this process may use, in order; empty where there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    if visible is not None:
        query.append(f"--id={visible}")
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()  # no driver, or none that answers: tasks run on cores, and say so in their work key
    return tuple(int(line) * _MIB for line in told.split() if line.isdigit())


def workers_per_gpu(memory: Sequence[int], wanted: int) -> int:
    """Workers that share a GPU, by the smallest of several; 1 where its memory is not known.

    Args:
        memory: Bytes of each GPU.
        wanted: Bytes that a worker takes.
    """
    return max(1, min(_MOST_PER_GPU, min(memory) // wanted)) if memory else 1
