"""Become another program, bound to its parent.

`python -I -S limited_exec.py PARENT_PID NICE MEMORY_BYTES PROGRAM ARGUMENTS...`

Runs before FFmpeg in its own process because a `preexec_fn` is unsafe beside threads. The kernel then kills the
program when the thread that started it ends, even when that process is killed with no chance to clean up.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, nice, memory_bytes = (int(text) for text in sys.argv[1:4])
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above took effect
        sys.exit(1)
    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
