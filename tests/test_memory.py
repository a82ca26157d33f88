"""What the allocator keeps and gives back, in a process of its own."""

import platform
import subprocess
import sys

import pytest

_MAPPED = """
import ctypes, sys, torch
from franken.memory import keep_freed_memory

NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]

tell = ctypes.CDLL(None).mallinfo2
tell.restype = Info
if sys.argv[1] == "keep":
    keep_freed_memory()
before = tell().hblks
held = torch.empty(16 << 20, dtype=torch.uint8)
print(tell().hblks - before)
"""


@pytest.mark.skipif(
    platform.libc_ver() < ("glibc", "2.33"), reason="mallinfo2 is of glibc from 2.33 on"
)
@pytest.mark.parametrize(("way", "mapped"), [("keep", 0), ("give back", 1)])
def test_blocks_come_from_memory_that_is_kept(way: str, mapped: int) -> None:
    command = [sys.executable, "-c", _MAPPED, way]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) == mapped


_GIVEN_BACK = """
import resource
import torch
from franken.memory import give_back_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

held = [b"x" * 50_000 for _ in range(4000)]
last = held[-1]
del held
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_what_is_free_below_a_block_in_use_goes_back_to_the_system() -> None:
    command = [sys.executable, "-c", _GIVEN_BACK]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) > 0.9 * 4000 * 50_000
