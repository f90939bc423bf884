"""What the machine gives this process, and what is given back to it."""

import platform
import subprocess
import sys

import pytest

# Buffers of 8 MB with small ones between, which would hold what glibc keeps of them. The first one that is
# freed teaches glibc to keep those of its size.
_HELD = """
import ctypes
from attnflow.core.machine import give_back
if {asked}:
    assert give_back()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
def one():
    buffer = libc.malloc(8 * 2**20)
    libc.memset(buffer, 1, 8 * 2**20)
    libc.malloc(100_000)
    return buffer
libc.free(one())
before = held()
for buffer in [one() for _ in range(20)]:
    libc.free(buffer)
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc keeps")
def test_large_buffers_leave_the_process_when_they_are_freed():
    held = []
    for asked in (False, True):
        program = [sys.executable, "-c", _HELD.format(asked=asked)]
        held.append(int(subprocess.run(program, check=True, capture_output=True, text=True).stdout))
    kept, given_back = held
    assert kept > 100_000  # kB
    assert given_back < 10_000
