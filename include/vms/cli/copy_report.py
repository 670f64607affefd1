"""How `vms copy` tells what it does: the plan, the bytes as they move, the end; for people and for scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from vms.cli.wording import plain, size_text
from vms.errors import Reason
from vms.model import CopyOrder
from vms.receipts import Copied

_NAMED = 20


@dataclass(frozen=True)
class CopyPlan:
    """What is to be copied. recordings, size_bytes: of those that the limit lets through; waiting: without the limit.

    size_bytes is reckoned from the mean of all when there is a limit.
    """

    source: str
    target: str
    recordings: int
    size_bytes: int
    waiting: int


@dataclass
class Failure:
    """Recordings that were not copied for one reason. message and remedy: of the first of them."""

    reason: Reason
    message: str
    remedy: str
    recordings: list[int] = field(default_factory=list)
    count: int = 0


@dataclass
class Tally:
    """What has become of the orders so far. copied: sent now; there: the store had them already.

    damaged: one line for each copy that was to be read and is no good.
    """

    copied: int = 0
    there: int = 0
    size_bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    failures: dict[Reason, Failure] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(one.count for one in self.failures.values())

    def add(self, one: Copied) -> None:
        self.damaged += [damage.message for damage in one.damaged]
        if one.fault is not None:
            fault = one.fault
            failure = self.failures.setdefault(fault.reason, Failure(fault.reason, fault.message, fault.remedy))
            failure.count += 1
            failure.recordings += [one.recording_id] if failure.count <= _NAMED else []
            return
        sent = sum(copy.bytes_sent for copy in one.copies)
        self.size_bytes += sent
        self.copied += bool(sent)
        self.there += not sent


@dataclass
class Meter:
    """Bytes that have moved, for the bar: half of a rendition's when it is here, half when it has been sent on."""

    draw: Callable[[float, int], None]
    done: float = 0.0
    files: int = 0
    sizes: dict[int, int] = field(default_factory=dict)
    under_way: dict[int, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, order: CopyOrder) -> None:
        with self.lock:
            self.sizes[order.recording_id] = next(one.size_bytes for one in order.held if one.part == "rendition")

    def moved(self, order: CopyOrder, fetched: int, sent: int) -> None:
        with self.lock:
            self.under_way[order.recording_id] = (fetched + sent) / 2
            self._show()

    def end(self, one: Copied) -> None:
        with self.lock:
            size = self.sizes.pop(one.recording_id, 0)
            self.under_way.pop(one.recording_id, None)
            self.done += size if one.fault is None else 0
            self.files += 1
            self._show()

    def _show(self) -> None:
        self.draw(self.done + sum(self.under_way.values()), self.files)


@contextmanager
def meter(plan: CopyPlan, console: Console, *, quiet: bool) -> Iterator[Meter]:
    """A bar with files, bytes, speed and time left on a terminal; elsewhere nothing is drawn."""
    if quiet or not console.is_terminal:
        yield Meter(lambda _bytes, _files: None)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[files]} of {task.fields[of]} files"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=plan.size_bytes, files=0, of=plan.recordings)
        yield Meter(lambda moved, files: progress.update(task, completed=moved, files=files))


def show_plan(plan: CopyPlan, console: Console) -> None:
    """One line before anything is done."""
    if not plan.waiting:
        console.print(
            f"Nothing to copy: {plain(plan.target)} lacks nothing of what {plain(plan.source)} holds of this footage."
        )
        return
    part = f" of {plan.waiting}" if plan.recordings < plan.waiting else ""
    console.print(
        f"{plan.recordings}{part} {_recordings(plan.waiting)}, {size_text(plan.size_bytes)}, from"
        f" [bold]{plain(plan.source)}[/] to [bold]{plain(plan.target)}[/], the newest first"
    )


def show_end(plan: CopyPlan, tally: Tally, console: Console) -> None:
    """The closing table, and below it each reason why something was not copied, with what to do."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("copied", "size", "already there", "failed", "not tried"):
        table.add_column(title, justify="right")
    tried = tally.copied + tally.there + tally.failed
    numbers = (tally.there, tally.failed, max(0, plan.recordings - tried))
    table.add_row(str(tally.copied), size_text(tally.size_bytes), *map(str, numbers))
    console.print(table)
    for failure in tally.failures.values():
        names = ", ".join(map(str, failure.recordings)) + (", ..." if failure.count > _NAMED else "")
        console.print(f"[red]not copied[/] {failure.count} {_recordings(failure.count)} ({failure.reason}), id {names}")
        for line in (failure.message, failure.remedy):
            if line:
                console.print(f"  {plain(line)}")
    if tally.damaged and "copy_damaged" not in tally.failures:
        for line in tally.damaged:
            console.print(f"[red]damaged[/] {plain(line)}")


def as_object(plan: CopyPlan, tally: Tally | None) -> dict[str, Any]:
    """For scripts. Without a tally: what would be done."""
    told: dict[str, Any] = {
        "from": plan.source,
        "to": plan.target,
        "waiting": plan.waiting,
        "planned": plan.recordings,
        "planned_bytes": plan.size_bytes,
    }
    if tally is not None:
        told |= {
            "copied": tally.copied,
            "bytes_sent": tally.size_bytes,
            "already_there": tally.there,
            "failed": tally.failed,
            "failures": [vars(one) for one in tally.failures.values()],
            "damaged": tally.damaged,
        }
    return told


def _recordings(count: int) -> str:
    return "recording" if count == 1 else "recordings"
