"""A catalogue with a few recordings, to be backed up and put back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalogue_world import ask, opened
from integrity_world import an_archive
from vms.catalogue import whole
from vms.home import Home

NOW = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)


def still(_what: str, _share: float) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def home(catalogue: tuple[Home, str]) -> Home:
    return catalogue[0]


@pytest.fixture
def address(catalogue: tuple[Home, str]) -> str:
    return catalogue[1]


def facts(address: str) -> dict[str, list[tuple[str]]]:
    """Every row of every table, as text."""
    with opened(address) as conn:
        tables = list(whole.count_rows(conn))
        return {name: ask(conn, f'SELECT t::text FROM "{name}" t ORDER BY 1') for name in tables}  # noqa: S608


def build(address: str, home: Home, root: Path, count: int = 4) -> None:
    with opened(address) as conn:
        an_archive(conn, home, root, count)


def write_sites(home: Home, root: Path) -> None:
    home.sites_file.write_text(
        f"stores:\n  nas: {{url: 'file://{root}/nas'}}\nsites:\n"
        f"  - {{id: ho, footage: {root}/footage, time_zone: WIB, stores: [nas]}}\n"
    )


@pytest.fixture(autouse=True)
def no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VMS_POSTGRES_URL", raising=False)
