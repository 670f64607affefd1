"""Export: write one archived recording into a folder, out of whichever store has a good copy of it.

What is written appears under its name only when all of it has the SHA-256 of the catalogue's proof. A file that was
begun is gone on with; one that is there already is hashed and not fetched again; another file is never overwritten.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vms.errors import CopyUnreachable, StoreConflict, StoreError, VmsError
from vms.model import CopyOrder, StoreTarget
from vms.receipts import CopyReceipt
from vms.steps.fetching import fill, owned
from vms.steps.meeting import OUT, meet
from vms.steps.staged import sha256_of
from vms.stores import Store


@dataclass(frozen=True)
class Exported:
    """How one recording came into the folder. store: "" when it was there. troubles: stores that failed it before."""

    how: Literal["written", "there"]
    copy: CopyReceipt
    store: str = ""
    troubles: tuple[str, ...] = ()


@dataclass
class Exporter:
    """Reads from the stores, each met once; one that is out is not asked again."""

    targets: Mapping[int, StoreTarget]
    stop: threading.Event = field(default_factory=threading.Event)
    _stores: dict[int, Store] = field(default_factory=dict)
    _out: dict[int, VmsError] = field(default_factory=dict)

    def export(self, order: CopyOrder, path: Path, moved: Callable[[int], None]) -> Exported:
        """Return when the whole recording lies at path, proven. moved: told how many bytes of it are there.

        Raises StoreError when no store gives a good copy, StoreConflict when another file has the name, OSError.
        """
        copies = sorted((one for one in order.held if one.part == "rendition"), key=self._nearest_first)
        if path.exists():
            self._refuse_other(path, copies[0])
            moved(copies[0].size_bytes)
            return Exported("there", copies[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        begun = path.with_name(f".{path.name}.{copies[0].sha256[:12]}.part")
        troubles: list[StoreError] = []
        with owned(begun, self.stop, lambda: None):
            for copy in copies:
                try:
                    fill(begun, self._store(copy.store_id), copy, moved, self.stop)
                except StoreError as error:
                    troubles.append(error)
                    if isinstance(error, OUT):
                        self._out[copy.store_id] = error
                    continue
                self._publish(begun, path, copy)
                return Exported("written", copy, self.targets[copy.store_id].name, tuple(map(str, troubles)))
            if begun.stat().st_size == 0:
                begun.unlink()
        if len(troubles) == 1:
            raise troubles[0]
        raise CopyUnreachable(
            " ".join(one.message for one in troubles), " ".join(dict.fromkeys(one.remedy for one in troubles))
        )

    def _nearest_first(self, copy: CopyReceipt) -> tuple[bool, bool, int]:
        local = self.targets[copy.store_id].url.startswith("file:")
        return copy.store_id in self._out, not local, copy.store_id

    def _store(self, number: int) -> Store:
        if number in self._out:
            raise self._out[number]
        if number not in self._stores:
            try:
                self._stores[number], _ = meet(self.targets[number])
            except StoreError as error:
                self._out[number] = error
                raise
        return self._stores[number]

    @staticmethod
    def _refuse_other(path: Path, copy: CopyReceipt) -> None:
        if path.is_file() and path.stat().st_size == copy.size_bytes and sha256_of(path) == copy.sha256:
            return
        raise StoreConflict(
            f"{path} is there with other bytes than the catalogue's proof; it was not overwritten.",
            "Move it away, or export into an empty folder.",
        )

    @staticmethod
    def _publish(begun: Path, path: Path, copy: CopyReceipt) -> None:
        begun.chmod(0o644)
        with begun.open("rb") as file:
            os.fsync(file.fileno())
        if path.exists():  # another export was faster
            Exporter._refuse_other(path, copy)
        begun.replace(path)
