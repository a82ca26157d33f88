"""All sides of ``loss_*``: WAY OUT [POSITIONS], where WAY is franken, plain, torch or liger.

One forward and backward pass after a small one for what libraries allocate once; memory is that
beyond the inputs, gradients included. Without a GPU Liger's Triton kernels are interpreted: its
loss and memory count then, its time does not.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

way, out, *rest = sys.argv[1:]
ROWS, WIDTH, CHUNK = 262_144, 256, 128
POSITIONS = int(rest[0]) if rest else 2048
if way == "liger":
    os.environ["TRITON_INTERPRET"] = "1"  # read by the import


def loss_of(states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if way == "franken":
        from franken.training.loss import chunked_linear_cross_entropy

        return chunked_linear_cross_entropy(states, weight, labels, chunk_tokens=CHUNK)
    if way == "liger":
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

        return liger_fused_linear_cross_entropy(states, weight, labels)
    if way == "torch":
        # at these shapes the automatic choice is chunks of one or two positions
        options = torch.nn.LinearCrossEntropyOptions(chunking_method=None, batch_chunk_size=CHUNK)
        return F.linear_cross_entropy(states, weight, labels, options=options)
    return F.cross_entropy(F.linear(states, weight), labels)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


draw = torch.Generator().manual_seed(0)
weight = torch.randn(ROWS, WIDTH, generator=draw).mul_(0.02).requires_grad_()
states = torch.randn(POSITIONS, WIDTH, generator=draw).requires_grad_()
labels = torch.randint(0, ROWS, (POSITIONS,), generator=draw)
small = weight.detach()[:64].clone().requires_grad_()
loss_of(states[:8], small, labels[:8] % 64).backward()
states.grad = None
before, wall, busy = peak(), time.perf_counter(), time.process_time()
loss = loss_of(states, weight, labels)
loss.backward()
Path(out).write_text(json.dumps({
    "seconds": time.perf_counter() - wall,
    "processor seconds": time.process_time() - busy,
    "GB beyond the inputs": peak() - before,
    "loss": float(loss.detach()),
    "norm of the gradient": float(weight.grad.norm()),
}))  # fmt: skip
