"""What the system's allocator does with memory that is given back."""

import ctypes
import platform

import torch

_LARGEST = (32 << 20) - (64 << 10)


def keep_freed_memory() -> None:
    """Let the C library keep some 64 MiB of free memory for what is asked for next.

    glibc maps blocks by themselves that are larger than all which it mapped and got back before,
    and gives back what is free at the end of its heap once it is twice as much, up to blocks of 32
    MiB. Pages that are given back are cleared anew when they are asked for again: a tenth of the
    time of work on one tensor after another. Here such a block, no page of which is touched, is
    mapped and freed. Other C libraries take no notice.
    """
    torch.empty(_LARGEST, dtype=torch.uint8, device="cpu")


def give_back_freed_memory() -> None:
    """Give the system what is free anywhere in glibc's heap, before much more is asked for.

    Millions of small objects leave holes that large blocks do not fit in: after two tokenizers were
    taken apart some 100 MB. It takes 10 ms. Other C libraries keep what they have.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
