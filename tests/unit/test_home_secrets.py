"""Secrets that are made up at their first use: one for all who ask, however many do at the same time."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vms.home import from_environment


def test_who_asks_for_the_first_time_at_once_gets_the_same(tmp_path: Path) -> None:
    """As the pictures of a page that is opened do."""
    together = threading.Barrier(8)

    def ask(name: str) -> str:
        together.wait(60)
        return home.secret(name)

    with ThreadPoolExecutor(8) as people:
        for number in range(5):
            home = from_environment({"VMS_HOME": str(tmp_path / str(number))})
            home.prepare()
            said = list(people.map(ask, ["viewer_media"] * 8))
            assert len(set(said)) == 1
            (kept,) = set(home.secrets.iterdir()) - {home.connections}
            assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == (said[0], 0o600)
