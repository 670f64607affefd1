"""docker-compose.yaml for real: a clean clone archives the demonstration, on one worker, on three, and on what is left
of them when one is killed while it encodes. Needs a container engine, some GB and a quarter of an hour:

    ./vms test tests/compose/check_workers.py
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from containers import MADE_AT, Installation, eventually, installation

MOVE = """
import sys
from vms.home import from_environment
file = from_environment().sites_file
text = file.read_text()
without = [line for line in text.splitlines() if "runs_on:" not in line]
place = next(number for number, line in enumerate(without) if "id: makassar" in line)
indent = len(without[place]) - len(without[place].lstrip(" -"))
without.insert(place + 1, " " * indent + f"runs_on: {sys.argv[1]}")
file.write_text("\\n".join(without) + "\\n")
"""

SERVED = """
from vms.home import from_environment
from vms.stack.container_worker import served_now
print(*sorted(served_now(from_environment().parts.broker) or ()))
"""

LENGTHEN = """
import subprocess, time
from datetime import UTC, datetime, timedelta
from vms.demo.cameras import SITES
from vms.demo.clips import Clip, _backdate, footage_folder
from vms.home import from_environment
from vms.video.binaries import binaries
home, made = from_environment(), 0
def lengthened(site, camera, new):
    "Of a clip that is not being written any more, and is none of those that are broken on purpose."
    kind = {".mp4": "mp4", ".avi": "avi", ".dav": "vob"}[camera.suffix]
    for one in sorted(footage_folder(home, site).rglob(f"*{camera.suffix}")):
        if camera.word in str(one) and time.time() - one.stat().st_mtime > 60:
            argv = [binaries(home).ffmpeg, "-v", "error", "-y", "-stream_loop", "3", "-i", f"file:{one}",
                    "-c", "copy", "-f", kind, f"file:{new}"]
            if subprocess.run(argv).returncode == 0 and new.stat().st_size > 400_000:
                return True
    return False
for site in SITES:
    for number, camera in enumerate(site.cameras):
        new = home.cache / f"long-{site.id}-{number}{camera.suffix}"
        while not lengthened(site, camera, new):
            time.sleep(5)
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=5)
        clip = Clip(site, camera, start, 60)
        path = footage_folder(home, site) / clip.name
        path.parent.mkdir(parents=True, exist_ok=True)
        _backdate(new, clip, live=False)
        new.rename(path)
        made += 1
print(made)
"""
"""Makes files of some minutes out of those that are there, in no time, so that encoding them takes a while."""

VIEWERS_RIGHTS = """
from vms.airflow_api import AirflowApi
from vms.errors import StackError
from vms.home import from_environment
def refused(act, *words):
    try:
        act(*words)
    except StackError as error:
        return "(403" in str(error)
    return False
with AirflowApi(from_environment(), user="viewer") as api:
    run = api.trigger("footage_ho", "a check")
    seen = api.tasks(run.dag_id, run.run_id) is not None and "footage_ho" not in api.paused()
    ours = (run.dag_id, run.run_id)
    answered = refused(api.answer, *ours, "x", "Approve")
    print(seen and answered and refused(api.stop, *ours) and refused(api.clear, *ours))
"""
"""Asked in the viewer: runs are seen and started, and nobody ends one, does one again or answers for a purge."""

OWN_WORD = """
import subprocess, sys
from vms.home import from_environment
from vms.stack.airflow_env import airflow_environment
subprocess.run([sys.executable, "-m", "airflow", "users", "reset-password", "--username", "admin", "--password",
                "a word of my own"], env=airflow_environment(from_environment()), check=True)
"""
"""What a person does in Airflow with the first password; commands must go on."""

ENCODES = "import psutil; print(sum('ffmpeg' in one.name() for one in psutil.process_iter()))"


def test_a_clean_clone_archives_on_three_workers_and_loses_nothing_when_one_is_killed(tmp_path: Path) -> None:
    with installation(tmp_path, "--demo") as here:
        here.start_demonstration()
        (viewer,) = here.containers("viewer")
        assert here.inside(viewer, "python", "-c", VIEWERS_RIGHTS).split()[-1] == "True"
        (api_server,) = here.containers("api-server")
        here.inside(api_server, "python", "-c", OWN_WORD)

        here.inside(here.containers("worker")[0], "python", "-c", MOVE, "worker")
        eventually("a site with a machine of its own is left to it", lambda: "site-makassar" not in served(here))
        here.inside(here.containers("worker")[0], "python", "-c", MOVE, "centre")
        eventually("a site without one is served", lambda: "site-makassar" in served(here))

        here.settings(VMS_WORKERS=3)
        here.compose("up", "-d", "--no-recreate", "worker")
        eventually("three workers answer", lambda: answering(here) == 3)
        before = counts(here)
        added = int(here.inside(here.containers("worker")[0], "python", "-c", LENGTHEN))
        assert added >= 6
        eventually("batches are spread", lambda: len(encoding(here)) >= 2)
        victim = encoding(here)[-1]
        here.kill(victim)
        assert victim not in here.containers("worker")
        waiting = planned(here)
        assert waiting

        eventually("all of it is archived", lambda: counts(here)["archived"] >= before["archived"] + added)
        eventually("nothing of what waited then is left over", lambda: not waiting & planned(here))
        rows = here.vms("recordings")
        sources = Counter((row["site"], row["camera"], row["start_utc"]) for row in rows)
        assert [one for one, times in sources.items() if times > 1] == [], "one recording for each file"
        archived = [row for row in rows if row["state"] in ("archived", "released")]
        assert all(len(row["copies"]) == 1 for row in archived)
        for site in MADE_AT:
            (verdict,) = here.vms("run", site, "--wait")
            assert verdict["state"] == "success", verdict


def served(here: Installation) -> list[str]:
    queues = here.inside(here.containers("worker")[0], "python", "-c", SERVED).split()
    assert "centre" in queues
    return queues


def counts(here: Installation) -> Counter[str]:
    """Recordings by state. What the demonstration releases after two hours was archived, too."""
    (seen,) = here.vms("status")
    found: Counter[str] = Counter()
    for site in seen["sites"]:
        found.update(site["counts"])
    found["archived"] += found.pop("released", 0)
    return found


def planned(here: Installation) -> set[int]:
    """What waits to be archived now; the demonstration goes on and adds to it."""
    return {row["id"] for row in here.vms("recordings", "--state", "planned")}


def answering(here: Installation) -> int:
    return sum(
        "well" in here.inside(one, "sh", "-c", "python -m vms.stack.health worker && echo well")
        for one in here.containers("worker")
    )


def encoding(here: Installation) -> list[str]:
    """The workers in which an FFmpeg runs now."""
    return [one for one in here.containers("worker") if int(here.inside(one, "python", "-c", ENCODES)) > 0]
