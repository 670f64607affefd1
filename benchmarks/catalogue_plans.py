"""How PostgreSQL answers what the product asks: the plan of each statement on a connection, and what it reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from vms.catalogue.connection import Connection, fetch_all

MANY_ROWS = 2000
"""From here on a table is big, in a small catalogue, too. (A month that has just begun may be read through.)"""

_THROUGH = re.compile(r"Seq Scan on (\w+)(?! .*never executed)")
_INDEX = re.compile(r"Index (?:Only )?Scan(?: Backward)? using (\w+) on|Bitmap Index Scan on (\w+)")
_PLANNED = ("SELECT", "WITH", "UPDATE", "DELETE", "INSERT", "DECLARE")
_DECLARE = re.compile(r"\s*DECLARE .*? CURSOR FOR ", re.DOTALL)


@dataclass(frozen=True)
class Plan:
    """A statement and how it was, or would be, done (EXPLAIN's text)."""

    statement: str
    text: str

    def read_through(self, big: Collection[str]) -> list[str]:
        """Which of these tables it reads from end to end."""
        return sorted({name for name in _THROUGH.findall(self.text) if name in big})

    @property
    def indexes(self) -> set[str]:
        """The names of the indexes that it uses, those of partitions one by one."""
        return {one or other for one, other in _INDEX.findall(self.text)}


@contextmanager
def explained(conn: Connection, *, measured: bool) -> Iterator[list[Plan]]:
    """The plans of all statements that run within. measured: questions are run once more for it (ANALYZE, BUFFERS)."""
    plans: list[Plan] = []

    class Explaining(Cursor):
        def execute(self, sql: Any, params: Any = None) -> None:
            words = str(sql)
            first = words.split(maxsplit=1)[0].upper()
            if first in _PLANNED and "pg_advisory" not in words:
                asked = _DECLARE.sub("", words)
                writes = first in ("UPDATE", "DELETE", "INSERT") or "FOR UPDATE" in words
                options = "ANALYZE, BUFFERS, COSTS OFF" if measured and not writes else "COSTS OFF"
                super().execute(f"EXPLAIN ({options}) {asked}", params)
                plans.append(Plan(words, "\n".join(line for (line,) in self.fetchall())))
            super().execute(sql, params)

    before, conn.cursor_factory = conn.cursor_factory, Explaining
    try:
        yield plans
    finally:
        conn.cursor_factory = before


def index_names(conn: Connection) -> dict[str, str]:
    """By the name of an index of a partition: the index of the whole table that it is a part of."""
    return dict(
        fetch_all(
            conn,
            "SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits JOIN pg_class c"
            " ON c.oid = inhrelid WHERE c.relkind IN ('i', 'I')",
            [],
        )
    )


def big_tables(conn: Connection) -> set[str]:
    """Tables, and partitions of tables, with many rows, as counted when they were last analyzed."""
    found = fetch_all(
        conn,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples > %s",
        [MANY_ROWS],
    )
    return {name for (name,) in found}
