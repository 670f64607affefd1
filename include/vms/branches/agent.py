"""What runs at a branch: Airflow's edge worker for this one site, and the word with the centre that keeps it able to.

The line may be away for days. The worker waits, and what it does goes on; when the line is back, so is everything by
itself. Only when the centre says that it does not know this branch (any more) does the worker stop.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

import vms
from vms import logs
from vms.airflow_history import clean_logs, log_folders
from vms.branches import membership, turn
from vms.branches.membership import Membership
from vms.config import load_config
from vms.config_model import Config, HistoryPolicy
from vms.errors import BranchError, BranchRefused, ConfigError
from vms.home import PROJECT_ROOT, Home
from vms.queues import EDGE
from vms.stack import processes
from vms.stack.airflow_env import FIXED, base_environment

log = logging.getLogger(__name__)

PLACES = 4
"""Tasks at once: two batches being compressed and two being sent, as the DAG allows."""

WORD_S = 60.0
REFUSED_S = 300.0
RESTART_S = (5.0, 15.0, 60.0)
SOUND_S = 600.0
CLEAR_S = 86_400.0
STOP_S = 20.0

PID_FILE = "airflow-edge-worker.pid"
"""Airflow's, in its own folder."""

OVER_A_LINE = {
    "CORE__EXECUTOR": f"{EDGE}:airflow.providers.edge3.executors.EdgeExecutor",
    "EDGE__HEARTBEAT_INTERVAL": "30",
    "EDGE__JOB_POLL_INTERVAL": "10",
    "EDGE__API_RETRIES": "1000000000",  # while the line is away the worker waits for it, for as long as it takes
    "EDGE__API_RETRY_WAIT_MAX": "30",
    # A running task reports every half minute and goes on without an answer for an hour (branch_executor.SILENT_MOST);
    # one report is tried so often that three of them take longer than that.
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "30",
    "WORKERS__MAX_FAILED_HEARTBEATS": "3",
    "WORKERS__EXECUTION_API_RETRIES": "90",
    "WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "30",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "3600",
}


@dataclass(frozen=True)
class Word:
    """The last try of a word with the centre. problem: what came in the way, "" when nothing did. refused: the centre
    answered that this branch is not let in."""

    tried_at: str = ""
    problem: str = ""
    refused: bool = False


@dataclass
class Latest:
    """The last word, for who keeps the worker: its file lags behind when the disk is full."""

    word: Word


def word_file(home: Home) -> Path:
    return home.run / "branch-word.json"


def last_word(home: Home) -> Word:
    try:
        return Word(**json.loads(word_file(home).read_text()))
    except (OSError, ValueError, TypeError):
        return Word()


def run(home: Home) -> int:
    """Work for the centre until SIGTERM. Returns the exit status. Raises BranchError when this is no branch, StackError
    when it runs already."""
    home.prepare()
    membership.load(home)
    held = turn.take(home)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())
    processes.adopt_orphans()
    latest = Latest(last_word(home))
    speaker = threading.Thread(target=_keep_in_touch, args=(home, stop, latest), daemon=True)
    speaker.start()
    _keep_working(home, stop, latest, speaker)
    held.close()
    return 0 if stop.is_set() else 1


def have_a_word(home: Home, now: datetime) -> Word:
    """Take what is new from the centre, renew the certificate when it is time. Never raises: whoever speaks for the
    branch goes on, whatever came in the way this time."""
    problems: list[str] = []
    for ask in (partial(membership.fetch_sites, home), partial(membership.renew_if_due, home, now)):
        try:
            ask()
        except BranchRefused as error:
            return Word(now.isoformat(), str(error), refused=True)
        except BranchError as error:
            # Such as a mistake in the centre's sites.yaml, which must not cost the certificate.
            problems.append(str(error))
        except Exception as error:  # nobody has thought of it, so its trace is worth a place in the log each time
            log.exception("The word with the centre failed.")
            problems.append(f"The word with the centre failed ({type(error).__name__}: {error}).")
    return Word(now.isoformat(), " ".join(dict.fromkeys(problems)))


def clear_logs(home: Home, now: datetime) -> None:
    """Delete what tasks logged longer ago than history is kept; the centre's DAG does not come here."""
    try:
        keep = load_config(home.sites_file).history.keep
    except ConfigError:
        keep = HistoryPolicy().keep
    gone = clean_logs(log_folders(home), now - keep)
    if gone.files:
        log.info("%d log files with %d bytes, older than %d days, are gone.", gone.files, gone.size_bytes, keep.days)


def other_version(joined: Membership) -> str:
    """What to say when the centre runs another version than this machine; "" when they are the same."""
    if joined.version == vms.__version__:
        return ""
    return (
        f"The centre runs version {joined.version}, this branch {vms.__version__}. It goes on; bring them to the same"
        " version soon (docs/operations.md, Branches)."
    )


def unknown_keys(config: Config) -> str:
    """What to say when the centre tells more of the site than this version knows; "" when it does not."""
    if not config.unknown:
        return ""
    keys = ", ".join(config.unknown)
    return f"The centre's sites.yaml says of this site what version {vms.__version__} does not know, left out: {keys}."


def worker_environment(home: Home, joined: Membership) -> dict[str, str]:
    """Of the edge worker: made from nothing but what joining has written. No database, no broker, no password."""
    settings = FIXED | OVER_A_LINE | {
        "CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "CORE__EXECUTION_API_SERVER_URL": f"{joined.url}/execution/",
        "EDGE__API_URL": f"{joined.url}/edge_worker/v1/",
        "API__CLIENT_SSL_CERT": str(membership.folder(home) / "certificate.pem"),
        "API__CLIENT_SSL_KEY": str(membership.folder(home) / "key.pem"),
        "API__SSL_CA_FILE": str(membership.folder(home) / "authority.pem"),
        "API__CLIENT_USE_PUBLIC_CERTS": "False",
        "LOGGING__JSON_LOGS": str(logs.is_json()),
        "API_AUTH__JWT_SECRET": joined.edge_secret,
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.airflow}/none.db",  # Airflow wants one; nothing gets into it
        "LOGGING__BASE_LOG_FOLDER": str(home.logs / "airflow"),
    }  # fmt: skip
    own = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    secrets = ("VMS_SECRET_", "VMS_PARTS_")  # should this machine be more than a branch
    inherited = {name: value for name, value in base_environment(home).items() if not name.startswith(secrets)}
    return inherited | own | {"AIRFLOW_HOME": str(home.airflow), "VMS_BRANCH": joined.site}


def _keep_in_touch(home: Home, stop: threading.Event, latest: Latest) -> None:
    """A word with the centre once a minute, noted for `vms branch status`; what changes goes to the log."""
    said: set[str] = set()
    clear_at = 0.0
    while not stop.is_set():
        if time.monotonic() >= clear_at:
            clear_at = time.monotonic() + CLEAR_S
            _clear_logs_or_say(home)
        latest.word = word = have_a_word(home, datetime.now(UTC))
        turn.go_on(home)
        now = {one for one in (word.problem, _note(home, word), *_warnings(home)) if one}
        for line in now - said:
            log.warning("%s", line)
        if said and not now:
            log.info("The centre answers, and all is well.")
        said = now
        stop.wait(REFUSED_S if word.refused else WORD_S)


def _warnings(home: Home) -> tuple[str, ...]:
    try:
        joined = membership.load(home)
    except BranchError as error:
        return (str(error),)
    try:
        config = load_config(home.sites_file)
    except ConfigError as error:
        of_sites: tuple[str, ...] = (str(error),)
    else:  # a value that only a newer version knows leaves the site out
        of_sites = (unknown_keys(config), *(error.message for error in config.errors))
    return joined.clock_warning, joined.move_note, other_version(joined), *of_sites


def _clear_logs_or_say(home: Home) -> None:
    try:
        clear_logs(home, datetime.now(UTC))
    except Exception:
        log.exception("What tasks logged long ago can't be cleared; it is tried again tomorrow.")


def _keep_working(home: Home, stop: threading.Event, latest: Latest, speaker: threading.Thread) -> None:
    """The worker, started again whenever it ends, as long as the centre wants this branch. Ends with the speaker: its
    certificate would end some day without a word with the centre; whoever keeps the agent starts it anew."""
    worker: subprocess.Popen[bytes] | None = None
    told = ("", "")
    ended, began, start_at = 0, 0.0, 0.0
    while not stop.wait(1.0) and speaker.is_alive():
        refused = latest.word.refused
        if worker is not None and worker.poll() is not None:
            ended = 1 if time.monotonic() - began > SOUND_S else ended + 1
            wait_s = RESTART_S[min(ended, len(RESTART_S)) - 1]
            log.warning("The worker ended (%s); it is started again in %.0f s.", worker.returncode, wait_s)
            start_at, worker = time.monotonic() + wait_s, None
        if worker is not None and (refused or told != _told_to_worker(home)):
            log.warning("The worker stops: %s", "the centre does not let it in" if refused else "it is told anew")
            end_worker(worker)
            worker = None
        if worker is None and not refused and time.monotonic() >= start_at:
            told = _told_to_worker(home)
            worker, began = start_worker(home), time.monotonic()
        if worker is not None:
            processes.reap_adopted((os.getsid(0), worker.pid), [worker.pid])
    if worker is not None:
        end_worker(worker)


def _told_to_worker(home: Home) -> tuple[str, str]:
    joined = membership.load(home)
    return joined.edge_secret, joined.url


def start_worker(home: Home) -> subprocess.Popen[bytes]:
    """Raises BranchError when this is no branch."""
    joined = membership.load(home)
    home.airflow.mkdir(parents=True, exist_ok=True)
    words = (sys.executable, "-m", "vms_airflow.branch_worker", joined.queue, joined.worker, str(PLACES))
    _forget_ended(home, joined.worker)
    log.info("The worker serves %s of %s.", joined.queue, joined.url)
    return _started(words, worker_environment(home, joined))


def _forget_ended(home: Home, name: str) -> None:
    """Of a worker that was killed, or whose machine lost its power, the number stays in a file. Once another program
    has got that number, as after a start it soon has, Airflow takes it for a second worker and refuses to begin."""
    place = home.airflow / PID_FILE
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        if f"edge worker: {name}" in " ".join(psutil.Process(int(place.read_text())).cmdline()):
            return
    with contextlib.suppress(OSError):  # then Airflow says what is wrong with the file, and is begun again
        place.unlink(missing_ok=True)


def _started(words: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words, cwd=PROJECT_ROOT, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True
    )


def end_worker(worker: subprocess.Popen[bytes]) -> None:
    """It takes nothing new; its tasks are told to stop, which they report, so that the centre plans them again."""
    members = processes.tree(worker.pid)
    tasks = processes.running_tasks(members)
    processes.send([psutil.Process(worker.pid)] if psutil.pid_exists(worker.pid) else (), signal.SIGINT)
    processes.send(tasks, signal.SIGTERM)
    left = processes.wait_gone(members, STOP_S)
    processes.end([*left, *(one for one in processes.tree(worker.pid) if one not in left)], patience_s=1.0)
    worker.wait()


def _note(home: Home, word: Word) -> str:
    """For who asks from outside. Returns why it can't be, "" when it can."""
    path, text = word_file(home), json.dumps(asdict(word))
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(text)
        fresh.replace(path)
    except OSError as error:
        # A full disk still takes it in the old one's place.
        with contextlib.suppress(OSError), path.open("r+") as there:
            there.write(text)
            there.truncate()
        return f"{path} can't be written ({error.strerror}): ./vms branch status may tell of an earlier word."
    return ""
