"""What `vms doctor` looks at, ordered by what people come with: a page that is not reachable, nothing that appears, a
full store, a slow upload; then the machine itself. Each check ends as findings; none of them changes anything."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vms import queues
from vms.cli.doctor_airflow import airflow, fleet, schema
from vms.cli.doctor_finding import Finding
from vms.cli.doctor_stores import backup, storage, upload
from vms.cli.status import Overview
from vms.config import Config, Site, load_config
from vms.errors import VmsError
from vms.home import Home
from vms.stack import postgres
from vms.stack.addresses import airflow_url, viewer_url
from vms.stack.ports import port_holder
from vms.stack.services import containers_now
from vms.stack.state import ServiceState
from vms.video.binaries import binaries, version

FOLDER_PATIENCE_S = 10.0
BUSY_RUN = timedelta(hours=2)
_STA_UNSYNC = 0x0040


def examine(home: Home, seen: Overview) -> Iterator[Finding]:
    """All findings, one after the other. What breaks one check is a finding of its own, and the others are made."""
    config, problem = _config(home)
    if home.branch:
        from vms.cli.doctor_branch import branch  # only where it is used: it takes a while to load

        yield from _whatever_breaks("Branch", branch(home, config))
    elif home.parts:
        yield from _whatever_breaks("Page not reachable", _in_containers(home, seen, config))
    else:
        yield from _whatever_breaks("Page not reachable", _page(home, seen))
    if not home.branch:
        yield from _whatever_breaks("Signing in", _sign_in(config))
    yield from _whatever_breaks("Nothing appears", _nothing_appears(home, seen, config, problem))
    yield from _whatever_breaks("Storage full", storage(home, seen, config))
    yield from _whatever_breaks("Slow upload", upload(home, seen, config))
    if not home.branch:
        yield from _whatever_breaks("Backup of the catalogue", backup(seen))
    yield from _whatever_breaks("This machine", _machine(home))


def _whatever_breaks(group: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except Exception as error:  # noqa: BLE001  # it is asked because something is broken
        remedy = "Mend that and ask again; if it is none of yours, ./vms support-bundle collects what is known."
        yield Finding(group, False, f"The rest could not be looked at: {type(error).__name__}: {error}", remedy)


def _in_containers(home: Home, seen: Overview, config: Config | None) -> Iterator[Finding]:
    from vms.cli import doctor_containers  # only where it is used

    group = "Page not reachable"
    yield from doctor_containers.parts(group, home, seen.stack or containers_now(home))
    group = "Nothing appears"
    yield from doctor_containers.workers(group, home, config)
    yield from doctor_containers.branches(group, home, config, datetime.now(UTC))


def _page(home: Home, seen: Overview) -> Iterator[Finding]:
    group = "Page not reachable"
    stack = seen.stack
    if stack is None or stack.phase != "usable":
        phase = stack.phase if stack else "stopped"
        yield Finding(
            group,
            False,
            f"The system is not running ({phase}). {stack.error if stack else ''}".strip(),
            (stack.remedy if stack else "") or "./vms up",
        )
        for port, setting in ((home.viewer_port, "VMS_VIEWER_PORT"), (home.airflow_port, "VMS_AIRFLOW_PORT")):
            free = postgres.is_free(port)
            yield Finding(
                group,
                free or bool(stack and stack.launcher_lives),
                f"Port {port} is free."
                if free
                else f"Port {port} is taken by {port_holder(port) or 'another program'}.",
                "" if free else f"Stop that program, or set {setting} to another port.",
            )
        return
    for service in stack.services:
        well = service.state == "ready"
        log_file = home.logs / f"{service.name}.log"
        yield Finding(
            group,
            well,
            f"{service.name} is {service.state}{f' ({service.restarts} restarts)' if service.restarts else ''}.",
            "" if well else f"{service.detail} It is restarted by itself; the log is in {log_file}.".strip(),
        )
    yield Finding(
        group,
        True,
        f"The pages are {viewer_url(home)} and {airflow_url(home)}; they listen on"
        f" this machine only{'' if home.place.is_loopback else f', the viewer on {home.place.host}'}."
        f" From another machine: ssh -L {home.viewer_port}:127.0.0.1:{home.viewer_port} USER@{platform.node()}",
    )


def _sign_in(config: Config | None) -> Iterator[Finding]:
    """Whether people can come in by the identity provider, where there is one."""
    if config is None or config.sign_in is None:
        return
    from vms.identity_provider import Provider  # only where it is used: it takes a while to load

    try:
        Provider(config.sign_in).check()
    except VmsError as error:
        yield Finding("Signing in", False, error.message, error.remedy)
    else:
        yield Finding(
            "Signing in", True, f"The identity provider {config.sign_in.issuer} answers, and is the right one."
        )


def _nothing_appears(home: Home, seen: Overview, config: Config | None, problem: Finding | None) -> Iterator[Finding]:
    group = "Nothing appears"
    if problem:
        yield problem
    if config:
        yield Finding(group, True, f"{home.sites_file} is readable; sites in use: {len(config.sites)}.")
        for error in config.errors:
            yield Finding(group, False, error.message, f"Correct {home.sites_file}, then: ./vms sites check")
        for site in config.sites:
            if why := queues.not_reachable(site, in_containers=home.parts is not None, at_branch=bool(home.branch)):
                yield Finding(group, False, why, f"Correct {home.sites_file}, then: ./vms sites check")
            elif home.branch or not queues.has_own_machine(site):  # else its folder is there, not here
                yield _folder(group, site)
            yield from _sensed(group, site, seen)
    if seen.usable or any((one.name, one.state) == ("api-server", "ready") for one in _services(seen)):
        yield from airflow(group, home)
        yield from fleet(group, home)
    for text in seen.problems:
        yield Finding(group, False, text, "See above.")


def _services(seen: Overview) -> tuple[ServiceState, ...]:
    return seen.stack.services if seen.stack else ()


def _folder(group: str, site: Site) -> Finding:
    """A hung mount must not hang the doctor: whoever asks it waits in a thread of its own."""
    answer: list[str] = []

    def look() -> None:
        try:
            with os.scandir(site.footage) as entries:
                answer.append("" if next(entries, None) else "empty")
        except OSError as error:
            answer.append(error.strerror or str(error))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(FOLDER_PATIENCE_S)
    if not answer:
        remedy = "The mount hangs: check the recorder or NAS, then remount it."
        return Finding(group, False, f"{site.id}: {site.footage} does not answer in {FOLDER_PATIENCE_S:.0f} s.", remedy)
    if answer[0] == "empty":
        remedy = "Is it mounted, and does the recorder write there?"
        return Finding(group, False, f"{site.id}: the footage folder {site.footage} is empty.", remedy)
    if answer[0]:
        remedy = "Correct the path in sites.yaml, mount it, or give this user the right to read it."
        return Finding(
            group, False, f"{site.id}: the footage folder {site.footage} can't be read ({answer[0]}).", remedy
        )
    return Finding(group, True, f"{site.id}: the footage folder {site.footage} is readable.")


def _sensed(group: str, site: Site, seen: Overview) -> Iterator[Finding]:
    if not seen.usable or not site.enabled:
        return
    known = next((one for one in seen.sites if one.site == site.id), None)
    last = known.last_sensed if known else None
    now, patience = datetime.now(UTC), 3 * site.every + timedelta(minutes=5)
    # While the system stands still nobody looks, and nobody is late: that begins with its start.
    is_late = now - max(last or datetime.min.replace(tzinfo=UTC), _started(seen)) > patience
    if known is None or last is None:
        words = f"{site.id}: its folder was {'never' if is_late else 'not yet'} looked at."
        yield Finding(group, not is_late, words, f"./vms run {site.id} --wait" if is_late else "")
        return
    age = now - last
    working = known.counts.get("planned", 0)
    if is_late:
        words = f"{site.id}: its folder was last looked at {age.total_seconds() / 60:.0f} minutes ago"
        if working and age < BUSY_RUN:
            yield Finding(group, True, f"{words}; {working} recordings are being worked on.")
        else:
            remedy = f"Look at its runs in Airflow (footage_{site.id}), or: ./vms run {site.id} --wait"
            yield Finding(group, False, f"{words}.", remedy)
    if known.counts.get("quarantined"):
        yield Finding(
            group,
            True,
            f"{site.id}: files that could not be archived: {known.counts['quarantined']}; "
            f"./vms recordings --site {site.id} --state quarantined says why.",
        )


def _started(seen: Overview) -> datetime:
    """When the system was; in containers that is not known, and long ago."""
    return datetime.fromtimestamp(seen.stack.since if seen.stack else 0.0, UTC)


def _machine(home: Home) -> Iterator[Finding]:
    group = "This machine"
    yield Finding(group, True, f"Python {platform.python_version()} in {sys.prefix}")
    try:
        found = binaries(home)
        yield Finding(group, True, f"FFmpeg {version(found.ffmpeg)}, ffprobe {version(found.ffprobe)}")
    except VmsError as error:
        yield Finding(group, False, error.message, error.remedy)
    yield _clock(group, _clock_is_kept(), is_host=_is_host())
    if home.branch:
        return
    if home.parts:  # whether it answers is told with the other parts
        yield from schema(group, home)
        return
    try:
        address = postgres.read_address(home)
    except VmsError:
        yield Finding(group, True, "There is no database yet: it is made at the first start.")
    else:
        ok = postgres.is_ready(home)
        words = f"PostgreSQL at {address[0]}:{address[1]} {'answers' if ok else 'does not answer'}."
        yield Finding(group, ok, words, "" if ok else f"./vms up starts it; its log is {home.logs / 'postgres.log'}.")
        if ok:
            yield from schema(group, home)


def _clock(group: str, kept: bool | None, *, is_host: bool) -> Finding:
    """Times of footage are compared with this clock. kept: None when nobody knows."""
    words = f"The clock says {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if kept:
        return Finding(group, True, f"{words} and is synchronized.")
    if kept is None:
        return Finding(group, True, f"{words}; whether something keeps it right is not known on this system.")
    if not is_host:
        return Finding(group, True, f"{words}; what keeps it right is outside of this container: look there.")
    remedy = (
        "timedatectl set-ntp true, or chrony, which tells the kernel only with `rtcsync` in its chrony.conf; where no"
        " time server outside is reached, name one of your own (/etc/systemd/timesyncd.conf)."
    )
    return Finding(group, False, f"{words}; nothing on this machine keeps it right.", remedy)


def _clock_is_kept() -> bool | None:
    """Whether the kernel was told lately that the clock is right; None when it does not say."""
    try:
        buffer = (ctypes.c_byte * 512)()  # struct timex with modes 0: only asks
        if ctypes.CDLL(None).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return not int.from_bytes(bytes(buffer)[40:44], "little") & _STA_UNSYNC


def _is_host(run: Path = Path("/run")) -> bool:
    """Whether systemd has booted this machine, and not a container: what keeps a container's clock is not in it."""
    return (run / "systemd/system").is_dir() and not (run / "systemd/container").exists()


def _config(home: Home) -> tuple[Config | None, Finding | None]:
    try:
        return load_config(home.sites_file), None
    except VmsError as error:
        return None, Finding("Nothing appears", False, error.message, error.remedy)
