"""Chunked against plain cross-entropy at a large vocabulary: peak memory and time.

    python benchmarks/cross_entropy.py [--vocabulary 256000] [--hidden 256] [--tokens 1024]

Every measurement is a process of its own (its peak resident memory is that of one method alone);
methods alternate A/B/A/B, the quickest run of each counts. Both take the gradients of hidden
states and output rows through a soft-cap.
"""

import argparse
import json
import resource
import subprocess
import sys
import time


def measure(method: str, vocabulary: int, hidden: int, tokens: int, chunk: int, threads: int):
    """One forward and backward pass; prints seconds and MiB as JSON."""
    import torch
    from torch.nn import functional as F

    from franken.training.loss import chunked_linear_cross_entropy

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(vocabulary, hidden, generator=generator).mul_(0.02).requires_grad_()
    states = torch.randn(tokens, hidden, generator=generator).requires_grad_()
    labels = torch.randint(0, vocabulary, (tokens,), generator=generator)
    before = peak_mib()
    start = time.perf_counter()
    if method == "chunked":
        loss = chunked_linear_cross_entropy(
            states, weight, labels, softcap=30.0, chunk_tokens=chunk
        )
    else:
        logits = 30.0 * torch.tanh((states @ weight.T) / 30.0)
        loss = F.cross_entropy(logits, labels)
    loss.backward()
    seconds = time.perf_counter() - start
    found = {"seconds": seconds, "peak": peak_mib(), "extra": peak_mib() - before}
    print(json.dumps({**found, "loss": loss.item(), "norm": weight.grad.norm().item()}))


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=256_000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--method", choices=["plain", "chunked"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = (options.vocabulary, options.hidden, options.tokens, options.chunk, options.threads)
    if options.method:
        measure(options.method, *shape)
        return
    runs: dict[str, list[dict[str, float]]] = {"plain": [], "chunked": []}
    for _ in range(options.repeats):
        for method, results in runs.items():
            command = [sys.executable, *sys.argv, "--method", method]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append(json.loads(done.stdout))
    best = {m: min(results, key=lambda run: run["seconds"]) for m, results in runs.items()}
    logits = options.tokens * options.vocabulary * 4 / 2**20
    print(
        f"V = {options.vocabulary}, D = {options.hidden}, N = {options.tokens} tokens, "
        f"chunks of {options.chunk}; one float32 copy of all logits: {logits:.0f} MiB"
    )
    print(f"{'':>8}  {'seconds':>8}  {'peak MiB':>9}  {'beyond inputs':>13}  {'loss':>9}  |dW|")
    for method, run in best.items():
        print(
            f"{method:>8}  {run['seconds']:8.2f}  {run['peak']:9.0f}  {run['extra']:13.0f}  "
            f"{run['loss']:9.5f}  {run['norm']:.5f}"
        )
    plain, chunked = best["plain"], best["chunked"]
    print(
        f"plain / chunked: time {plain['seconds'] / chunked['seconds']:.2f}x, "
        f"memory beyond inputs {plain['extra'] / chunked['extra']:.1f}x"
    )


if __name__ == "__main__":
    main()
