"""What the command shows of an export: the bars while it is made, and the closing table."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from vms.catalogue.reads import RecordingRow
from vms.cli.selection import Moment
from vms.cli.wording import clock_text, plain, size_text
from vms.exports.folder import CLIPS, MANIFEST, SUMS, Asked, Folder
from vms.exports.making import Step
from vms.steps.export import Exported


@dataclass(frozen=True)
class Range(Asked):
    """What was asked for, with its ends."""

    begin: Moment | None
    end: Moment | None


class Bars:
    """Watches an export: files, bytes, speed and time left on a terminal; elsewhere a line for each file.

    quiet: nothing is written.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._progress: Progress | None = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def begins(self, step: Step, total: float, files: int) -> None:
        """The bar of this step takes the place of the one before."""
        self._end()
        if self._quiet or not self._console.is_terminal:
            return
        if step == "files":
            counted = TextColumn("{task.fields[files]} of {task.fields[of]} files")
            columns: tuple[ProgressColumn, ...] = (counted, BarColumn(), DownloadColumn(), TransferSpeedColumn())
        else:
            columns = (TextColumn(step), BarColumn(), TaskProgressColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        self._task = self._progress.add_task("", total=total, files=0, of=files)
        self._progress.start()

    def moved(self, done: float, files: int) -> None:
        """So much of the step is done."""
        if self._progress:
            self._progress.update(self._task, completed=done, files=files)

    def written(self, row: RecordingRow, done: Exported) -> None:
        """A recording lies there."""
        if self._quiet or self._console.is_terminal:
            return
        self._console.print(
            f"{row.site}/{row.camera} {clock_text(row.start_utc, row.time_zone)}"
            f"  {size_text(done.copy.size_bytes)} {done.how}{f' from {done.store}' if done.store else ''}",
            markup=False,
        )

    def _end(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None


def show_end(folder: Folder, console: Console) -> None:
    """The closing table, what could not be written, and how to check the folder."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("written", "already there", "size", "failed", "not in a store", "gaps"):
        table.add_column(title, justify="right")
    told = folder.summary()
    numbers = (told["written"], told["already_there"], size_text(folder.size_bytes))
    table.add_row(*map(str, (*numbers, len(folder.failures), len(folder.lacking), len(folder.gaps))))
    console.print(table)
    for words in sorted({(one["message"], one["remedy"]) for one in folder.failures}):
        console.print(f"[red]not written[/] {plain(' '.join(words))}")
    if told["left_out"]:
        console.print(f"In the clips alone: {told['left_out']} of the recordings; {MANIFEST} has their hashes.")
    if folder.clips:
        console.print(f"{len(folder.clips)} clips for any player: {plain(str(folder.root / CLIPS))}", soft_wrap=True)
    for line in dict.fromkeys(folder.troubles):
        console.print(f"[yellow]read elsewhere[/] {plain(line)}")
    if folder.lacking or folder.gaps:
        console.print(f"{MANIFEST} names what is missing, and why.")
    check = f"sha256sum -c {SUMS}"
    if folder.evidence is not None:
        console.print(f"Signed with the key {folder.evidence['fingerprint']}: tell it to whoever checks the package.")
        check = "python3 verify.py"
    console.print(f"Check it anywhere: cd {plain(str(folder.root))} && {check}", soft_wrap=True)
