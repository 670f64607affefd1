"""How FFmpeg is run: bounded in time, memory and words, ended with whoever started it, and only with what it needs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from vms.errors import ConfigError, EncodeFailed
from vms.home import from_environment
from vms.stack import processes
from vms.video.binaries import binaries
from vms.video.ffmpeg import Progress, Stopped, run


def test_limits_of_the_runner() -> None:
    endless = [binaries().ffmpeg, "-nostdin", "-v", "error", "-progress", "pipe:1", "-re"]
    endless += ["-f", "lavfi", "-i", "testsrc2=s=64x64", "-f", "null", "-"]
    before = _ffmpegs_below_us()
    with pytest.raises(EncodeFailed, match="did not end within"):
        run(endless, wall_limit_s=1)
    with pytest.raises(EncodeFailed, match="no progress"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], wall_limit_s=50, stall_limit_s=1)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        run(endless, wall_limit_s=50, stop=stop)

    def enough(progress: Progress) -> bool:
        return progress.frame < 5

    assert run(endless, wall_limit_s=50, on_progress=enough).cut_short
    assert _ffmpegs_below_us() <= before


def _ffmpegs_below_us() -> set[psutil.Process]:
    """Those that have ended and were not reaped, too: of these, only the name can still be read."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a server of another test may have ended one of its own
            if child.name().startswith("ffmpeg"):
                found.add(child)
    return found


def test_noise_on_stderr_is_bounded_and_nothing_hangs() -> None:
    loud = "import sys\nfor n in range(200000): print('x' * 80, n, file=sys.stderr)"
    done = run([sys.executable, "-c", loud], wall_limit_s=60)
    assert done.returncode == 0
    assert len(done.stderr) == 300
    assert done.stderr[0].endswith(" 0")
    assert done.stderr[-1].endswith("199999")


def test_ffmpeg_dies_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from vms.video.binaries import binaries\nfrom vms.video.ffmpeg import run\n"
        "run([binaries().ffmpeg, '-nostdin', '-v', 'error', '-progress', 'pipe:1', '-re', '-f', 'lavfi', '-i',"
        " 'testsrc2=s=66x66', '-f', 'null', '-'], wall_limit_s=600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        child = _wait_for(lambda: _encoder_below(parent.pid))
        assert child.nice() >= 10
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        _wait_for(lambda: not processes.alive(child) or None)
    finally:
        parent.kill()
        parent.wait()


def _encoder_below(pid: int) -> psutil.Process | None:
    for child in psutil.Process(pid).children():
        try:
            if "testsrc2=s=66x66" in child.cmdline() and "ffmpeg" in Path(child.exe()).name:
                return child
        except psutil.Error:
            continue
    return None


def _wait_for(question: object) -> psutil.Process:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        answer = question()  # type: ignore[operator]
        if answer is not None:
            return answer  # type: ignore[no-any-return]
        time.sleep(0.05)
    raise AssertionError("it did not happen within 120 s")


def test_a_configured_ffmpeg_that_lacks_what_is_needed_is_refused(tmp_path: Path) -> None:
    poor, old = tmp_path / "ffmpeg", tmp_path / "old"
    poor.write_text("#!/bin/sh\necho ' V..... libx264 x'\n")
    old.write_text("#!/bin/sh\necho 'ffmpeg version 5.1.9-0+deb12u1 Copyright'\n")
    poor.chmod(0o755)
    old.chmod(0o755)
    for path in (poor, old, tmp_path / "absent"):
        home = from_environment({"VMS_HOME": str(tmp_path), "VMS_FFMPEG": str(path)})
        with pytest.raises(ConfigError, match="VMS_FFMPEG") as caught:
            binaries(home)
        assert caught.value.remedy
