"""A branch by itself: what its worker is told, what it knows without the line, and what is done there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from branch_here_world import JOINED
from branch_here_world import home as home  # a fixture

import vms
from vms.branches import agent, membership, turn, view
from vms.cli import status
from vms.cli.app import main
from vms.cli.doctor_checks import examine
from vms.config import load_config
from vms.errors import BranchRefused, BranchUnreachable, StackError
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.ledger import Ledger
from vms.model import ReleaseOrder, load
from vms.receipts import CopyReceipt, Receipt, Rendition, Unproven
from vms.sightings import Fault, SourceSeen
from vms.stack import launch
from vms.stack.airflow_env import airflow_environment

NOW = datetime(2026, 11, 30, 5, 0, tzinfo=UTC)

RENDITION = {
    "kind": "encoded", "file": "one.mp4", "suffix": ".mp4", "size_bytes": 1000, "sha256": "a" * 64, "codec": "av1",
    "audio_codec": None, "width": 640, "height": 360, "fps": 10.0, "duration_s": 60.0, "frames": 600, "profile": "av1",
    "why_kept": "", "damaged": "", "argv": [], "ffmpeg": "9", "wall_s": 1.0, "cpu_s": 1.0,
}  # fmt: skip


def test_what_this_machine_reads_is_what_the_centre_said_of_its_site(home: Home) -> None:
    assert [site.id for site in load_config(home.sites_file).sites] == ["mks"]


def test_what_only_a_newer_centre_knows_is_left_out_and_told(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home.sites_file
    known = load_config(path).site("mks")
    newer = f"""
night_shift: {{from: [22:00], deep: {{deeper: [{{a: 1}}]}}}}
stores: {{nas: {{url: 'file://{tmp_path}/nas', colour: blue, more: {{a: {{b: c}}}}}}}}
profiles: {{av1: {{codec: av1, grain: 3}}}}
sites:
- {{id: mks, footage: {tmp_path}/footage, time_zone: WITA, stores: [nas], runs_on: edge, privacy: {{blur: [faces]}},
   empty: , cameras: [{{id: gate, tilt: up}}, {{id: yard, retention: 30d}}]}}
"""
    path.write_text(newer)
    keys = {
        "night_shift", "stores.nas.colour", "stores.nas.more", "profiles.av1.grain", "sites.privacy", "sites.empty",
        "sites.cameras.tilt",
    }  # fmt: skip
    for config in (load_config(path), load_config(path, "mks")):
        assert not config.errors
        assert set(config.unknown) == keys
        site = config.site("mks")
        assert (site.footage, site.stores, site.profile) == (known.footage, known.stores, known.profile)
        assert [(one.id, one.retention) for one in site.cameras] == [("gate", None), ("yard", timedelta(days=30))]
    assert [line for line in agent._warnings(home) if all(key in line for key in keys)]
    assert main(["branch", "status"]) == 0
    assert "sites.cameras.tilt" in capsys.readouterr().out
    assert main(["branch", "status", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["unknown_keys"]) == keys
    wrong = [one for one in examine(home, status.look(home)) if not one.ok and "sites.cameras.tilt" in one.what]
    assert [one.remedy for one in wrong if "centre's version" in one.remedy]

    path.write_text(newer.replace("codec: av1,", "codec: av7,"))
    (error,) = load_config(path).errors
    assert "av7" in error.message, "a value that is not known can't be left out"
    own = tmp_path / "own.yaml"
    own.write_text(newer)
    assert not load_config(own).sites, "a typo in a file of one's own stays one"
    assert not load_config(own).unknown


def test_the_worker_is_told_nothing_that_joining_has_not_written(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "VMS_SECRET_CATALOGUE_OWNER",
        "VMS_PARTS_BROKER",
        "VMS_CATALOGUE_URL",
        "VMS_POSTGRES_URL",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    ):
        monkeypatch.setenv(name, "of-the-centre")
    monkeypatch.setenv("AIRFLOW_CONN_BUCKET", '{"conn_type": "aws"}')
    told = agent.worker_environment(home, agent.membership.load(home))
    assert "of-the-centre" not in told.values()
    assert told["AIRFLOW__EDGE__API_URL"] == "https://cctv.example.co.id:8444/edge_worker/v1/"
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "https://cctv.example.co.id:8444/execution/"
    assert told["AIRFLOW__API__CLIENT_SSL_KEY"] == str(home.root / "branch" / "key.pem")
    assert told["AIRFLOW__API_AUTH__JWT_SECRET"] == "the-word-of-branches"
    assert told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("sqlite:///")
    assert told["VMS_BRANCH"] == "mks"
    assert told["AIRFLOW_CONN_BUCKET"], "the branch's own keys are its own"
    assert not [name for name in told if "FERNET" in name or "BROKER" in name or "SECRET_KEY" in name]


def test_a_task_reports_for_an_hour_without_an_answer(home: Home) -> None:
    """At least: three reports, each tried until it is given up."""
    told = agent.worker_environment(home, agent.membership.load(home))
    longest, tries = (float(told[f"AIRFLOW__WORKERS__EXECUTION_API_{name}"]) for name in ("RETRY_WAIT_MAX", "RETRIES"))
    waited_s = longest / 2 * (tries - 6)  # from the sixth try on a random share of the longest
    assert waited_s * int(told["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"]) > 3600


def test_what_is_done_at_a_branch_needs_no_database() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, vms.steps.sense, vms.steps.compress, vms.steps.upload, vms.steps.release, vms.branches.view\n"
            "print([one for one in sys.modules if one.startswith(('psycopg', 'sqlalchemy', 'vms.catalogue'))])",
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT / "include")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def receipt(number: int, **more: Any) -> Receipt:
    copy = CopyReceipt(1, "rendition", f"mks/{number}.mp4", 1000, "a" * 64, "", NOW, 1000)
    whole = {
        "recording_id": number,
        "start_utc": NOW + timedelta(hours=number),
        "source": SourceSeen(f"cam/{number}.mp4", 10, 1),
        "host": "here",
        "started_at": NOW,
        "finished_at": NOW,
        "rendition": load(Rendition, RENDITION),
        "copies": (copy,),
    }
    return Receipt(**whole | more)


def test_without_the_line_it_tells_what_waits_what_was_sent_and_what_was_proven(home: Home, tmp_path: Path) -> None:
    site = load_config(home.sites_file).site("mks")
    cameras = tmp_path / "footage" / "cam"
    cameras.mkdir(parents=True)
    for number in range(3):
        (cameras / f"{number}.mp4").write_bytes(b"footage!")
    assert view.look(home, site).waiting.count == 3
    assert view.look(home, site).last_sent is None

    lame = Fault("store_unreachable", "away", "", False)
    put = Unproven(1, "rendition", "mks/2.mp4", 1000, "a" * 64, "crc32:00000000", 7, 1000)
    unseen = receipt(2, copies=(), unproven=(put,))
    view.note_sent(home, [receipt(1), unseen, receipt(3, store_faults={"nas": lame}), receipt(4, copies=())], NOW)
    seen = view.look(home, site)
    assert (seen.unproven.count, seen.proven.count, seen.last_sent) == (2, 0, NOW)
    assert seen.unproven.size_bytes == 2 * RENDITION["size_bytes"]

    there = cameras / "0.mp4"
    source = SourceSeen("cam/0.mp4", there.stat().st_size, there.stat().st_mtime_ns)
    order = ReleaseOrder(1, NOW, "", "", None, (source,), (), ())
    view.note_proven(home, [order], NOW + timedelta(minutes=5))
    ledger = Ledger(home.site_staging("mks"))
    ledger.look(list(view.footage.list_footage(site.footage, "mks").found), NOW.timestamp())
    ledger.settle([source], "archived")
    seen = view.look(home, site)
    assert (seen.waiting.count, seen.unproven.count, seen.proven.count) == (2, 1, 1)
    assert seen.proven.newest == NOW + timedelta(hours=1)

    shutil.rmtree(tmp_path / "footage")
    gone = view.look(home, site)
    assert "does not exist" in gone.unreadable
    assert gone.proven.count == 1, "the rest is told all the same"


def test_a_book_that_cant_be_written_stands_in_nobodys_way(home: Home) -> None:
    (home.root / "sent.sqlite3").write_bytes(b"this is no database, and far too long to be taken for an empty one" * 9)
    view.note_sent(home, [receipt(1)], NOW)
    view.note_proven(home, [], NOW)
    assert view.look(home, load_config(home.sites_file).site("mks")).unproven.count == 0


def test_a_line_that_is_down_is_no_refusal(home: Home) -> None:
    word = agent.have_a_word(home, NOW)
    assert word.problem
    assert not word.refused
    assert agent.last_word(home) == agent.Word()
    assert not turn.is_running(home)


def test_what_keeps_the_centre_from_telling_does_not_cost_the_certificate(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_home: Home) -> bool:
        raise BranchUnreachable("There is a mistake in the centre's sites.yaml.")

    renewed: list[datetime] = []
    monkeypatch.setattr(membership, "fetch_sites", fetch)
    monkeypatch.setattr(membership, "renew_if_due", lambda _home, now: renewed.append(now))
    word = agent.have_a_word(home, NOW)
    assert (renewed, word.problem) == ([NOW], "There is a mistake in the centre's sites.yaml.")


def test_the_agent_clears_what_tasks_logged_long_ago(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (home.logs / "airflow" / f"dag_id=footage_mks/{name}.log" for name in ("old", "new"))
    old.parent.mkdir(parents=True)
    for path, days in ((old, 91), (new, 89)):
        path.write_text("x")
        at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(path, (at, at))
    stop = threading.Event()
    monkeypatch.setattr(agent, "have_a_word", lambda _home, _now: stop.set() or agent.Word())
    agent._keep_in_touch(home, stop, agent.Latest(agent.Word()))
    assert (old.exists(), new.exists()) == (False, True)


def test_whatever_comes_in_the_way_the_word_with_the_centre_is_tried_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk, mostly: here what is to be written can't be, in each place where a turn writes."""
    stop, latest, fates = threading.Event(), agent.Latest(agent.Word()), []
    agent.word_file(home).write_text(json.dumps({"tried_at": "", "problem": "long ago, and of more letters" * 9}))
    agent.word_file(home).with_suffix(".new").mkdir()

    def fetch(_home: Home) -> bool:
        fates.append(latest.word)
        if len(fates) == 3:
            stop.set()
            raise BranchRefused("Shut out.")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def clear(_home: Home, _now: datetime) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(membership, "fetch_sites", fetch)
    monkeypatch.setattr(agent, "clear_logs", clear)
    monkeypatch.setattr(agent, "WORD_S", 0.0)
    with turn.take(home):
        os.utime(home.run / "branch.lock", (1, 1))
        assert not turn.is_at_work(home)
        agent._keep_in_touch(home, stop, latest)
        assert turn.is_at_work(home), "that the disk is full does not mean that nobody tries"
    assert len(fates) == 3
    assert "No space left" in fates[1].problem
    assert latest.word.refused, "who keeps the worker hears of it all the same"
    assert agent.last_word(home) == latest.word, "written where the last one stood"
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len([one for one in said if "No space left" in one]) == 1, "once, and not every minute"
    assert [one for one in said if "branch-word.json can't be written" in one]


def test_what_it_knows_is_told_also_when_it_cant_read_what_the_centre_said_of_its_site(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a centre of a newer version says it; just then somebody asks."""
    view.note_sent(home, [receipt(1)], NOW)
    told = home.sites_file.read_text()
    home.sites_file.write_text(told.replace("WITA", "Mars/Olympus"))
    assert main(["branch", "status"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "mks, a branch of https://cctv.example.co.id:8444" in said
    assert "Mars/Olympus" in said
    assert "Unconfirmed 1 file" in said
    assert main(["branch", "status", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["unproven"]["count"], row["waiting"]["count"]) == (1, 0)
    assert "Mars/Olympus" in row["unreadable"]


def test_the_number_of_a_worker_that_is_no_more_keeps_no_other_from_beginning(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cut of power the number may be anybody's: here it is this very test's."""
    monkeypatch.setattr(agent, "_started", lambda words, _environment: words)
    kept = home.airflow / agent.PID_FILE
    home.airflow.mkdir()
    for text in (str(os.getpid()), "4194999", "no number", ""):
        kept.write_text(text)
        agent.start_worker(home)
        assert not kept.exists(), text
    works = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)", "airflow edge worker: branch-mks"]
    with subprocess.Popen(works, stdout=subprocess.PIPE) as living:
        try:
            assert living.stdout
            living.stdout.readline()  # only then its words can be read
            kept.write_text(str(living.pid))
            agent.start_worker(home)
            assert kept.exists(), "of a worker that lives Airflow itself says what is to be said"
        finally:
            living.kill()


def test_an_agent_that_has_lost_its_word_with_the_centre_ends_so_that_it_is_started_anew(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "_keep_in_touch", lambda *_: None)
    monkeypatch.setattr(agent, "start_worker", lambda _home: pytest.fail("it would work on until its certificate ends"))
    monkeypatch.setattr(agent.signal, "signal", lambda *_: None)
    monkeypatch.setattr(agent.processes, "adopt_orphans", lambda: None)
    assert agent.run(home) == 1


def test_nothing_of_the_centre_is_started_at_a_branch(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither with the worker's variable nor without it: a person's shell has none."""
    monkeypatch.setenv("VMS_DEMO", "0")  # `up` says it in the environment, and it is taken back here
    assert home.branch == "mks"
    for words in (["up"], ["up", "--detach"], ["up", "--demo"], ["upgrade"], ["backup"], ["down"]):
        assert main(words) == 1, words
        said = " ".join(capsys.readouterr().err.split())
        assert "This machine is the branch mks" in said, words
        assert ("docs/operations.md" if words == ["upgrade"] else "./vms branch status") in said
    assert not home.postgres.exists()
    assert not (home.run / "postgres.json").exists()
    assert main(["status"]) == 1
    assert "./vms branch status" in " ".join(capsys.readouterr().out.split())


def test_a_branch_whose_word_cant_be_read_is_one_all_the_same(home: Home) -> None:
    (home.root / "branch" / "branch.json").write_text("{")
    assert from_environment().branch
    with pytest.raises(StackError, match="This machine is the branch"):
        launch.claim(from_environment())


def test_the_doctor_tells_what_the_branch_knows_and_never_to_start_the_centre(home: Home, tmp_path: Path) -> None:
    (tmp_path / "footage").mkdir()
    (tmp_path / "footage" / "1.mp4").write_bytes(b"footage!")
    found = list(examine(home, status.look(home)))
    wrong = {one.what: one.remedy for one in found if not one.ok}
    for words in ("agent of the branch mks does not run", "centre has not answered since", "has no certificate"):
        assert [one for one in wrong if words in one], words
    assert not [one for one in found if "./vms up" in one.remedy or "Port" in one.what or "PostgreSQL" in one.what]
    with turn.take(home):
        assert [one for one in examine(home, status.look(home)) if one.ok and "branch mks runs" in one.what]
        os.utime(home.run / "branch.lock", (1, 1))
        assert [one for one in examine(home, status.look(home)) if not one.ok and "has not got on" in one.what]
    assert [one for one in found if "1 (8 B) wait here" in one.what], found
    assert [one for one in found if "footage folder" in one.what and one.ok]

    now = datetime.now(UTC)
    told = JOINED | {"asked_at": now.isoformat(), "version": vms.__version__}
    (home.root / "branch" / "branch.json").write_text(json.dumps(told))
    assert [one for one in examine(home, status.look(home)) if one.ok and one.what.endswith(":8444 answers.")]
    agent.word_file(home).write_text(json.dumps({"tried_at": "", "problem": "Shut out.", "refused": True}))
    assert [one for one in examine(home, status.look(home)) if not one.ok and "does not let this branch in" in one.what]


def test_a_value_that_only_a_newer_centre_knows_is_in_the_log(home: Home) -> None:
    text = home.sites_file.read_text()
    home.sites_file.write_text(text.replace("runs_on: edge", "runs_on: edge, keep_source: in_the_cloud"))
    (error,) = load_config(home.sites_file).errors
    assert "in_the_cloud" in error.message
    assert error.message in agent._warnings(home)


def test_the_centres_own_settings_are_not_a_branchs(home: Home) -> None:
    """Both are made from one list; what differs is said."""
    from vms.stack import postgres

    postgres.write_address(home, "127.0.0.1", 5432)
    alone = airflow_environment(home)
    branch = agent.worker_environment(home, agent.membership.load(home))
    assert alone["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"] == "120"
    assert branch["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"] == "3600"
    assert "VMS_CATALOGUE_URL" not in branch
