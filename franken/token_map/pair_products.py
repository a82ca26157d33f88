"""Inner products of chosen pairs of rows, and what a device multiplies fast."""

import warnings
from functools import cache

import torch
from torch import Tensor

_MULTIPLIES_BFLOAT16 = "amx_bf16", "avx512_bf16"
_PAIRS_BYTES = 32 << 20


def fast_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """What a device multiplies fastest, for a first comparison; no result depends on it.

    A GPU adds products of bfloat16 in bfloat16 where it likes, beyond the bound: there numbers of
    eight bits are multiplied as float32, which TF32 too does without loss.
    """
    if torch.device(device).type != "cpu":
        return torch.float32
    known = torch.cpu.get_capabilities()
    return torch.bfloat16 if any(map(known.get, _MULTIPLIES_BFLOAT16)) else torch.float32


def pair_products(left: Tensor, right: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``left[rows] . right[columns]`` in the number format of ``left``, each sum by itself.

    Args:
        left: ``(n, d)``.
        right: ``(m, d)``, brought to the format of ``left`` where they are gathered.
        rows: ``(P,)`` int64, ascending.
        columns: ``(P,)`` int64.
    """
    if left.device.type == "cpu" and left.dtype == right.dtype == torch.float32:
        return _sampled(left, right, rows, columns)
    step = max(1, _PAIRS_BYTES // (8 * left.shape[1]))
    found = left.new_empty(len(columns))
    for start in range(0, len(found), step):
        row, column = rows[start : start + step], columns[start : start + step]
        gathered = right[column].to(left.dtype)
        found[start : start + step] = torch.linalg.vecdot(gathered, left[row])
    return found


def _sampled(left: Tensor, right: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Without a copy of every row, in a fifth of the time."""
    _warn_once_of_sparse_rows()
    counts = rows.bincount(minlength=len(left))
    wanted = torch.sparse_csr_tensor(
        torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        columns,
        left.new_zeros(len(columns)),
        (len(left), len(right)),
        device=left.device,
        check_invariants=False,
    )
    found: Tensor = torch.sparse.sampled_addmm(wanted, left, right.T, beta=0.0).values()
    return found


@cache
def _warn_once_of_sparse_rows() -> None:
    """Take torch's notice that sparse rows are in beta, which it gives once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.zeros(1, 1, device="cpu").to_sparse_csr()
