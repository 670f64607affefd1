"""Migrations only add: the parts of the version before go on working on the new schema, while an upgrade is under way.

What takes away or narrows has to stand in ALLOWED with the reason why nobody of the version before needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vms.home import PROJECT_ROOT

BASE = "0021"
"""Up to here nothing was released that an upgrade could begin from."""

ALLOWED = {
    "ALTER TABLE camera_day DROP CONSTRAINT camera_day_pkey, ADD CONSTRAINT camera_day_pkey"
    " PRIMARY KEY (camera_id, day) INCLUDE (secs, last_at)": "the same key, with more in its index",
    "ALTER TABLE alert_message ADD CHECK (kind IN ('', '', '', '')),"
    " ADD CHECK ((kind IN ('', '')) = (alert_id IS NULL)),"
    " ADD CHECK ((kind = '') = (day IS NOT NULL)), ADD CHECK ((kind = '') = (detail IS NOT NULL))": "one kind more",
}
"""The statement, as a failure prints it: why it does no harm."""

FOLDER = PROJECT_ROOT / "include/vms/catalogue/migrations/versions"
_BODY = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_NARROWS = [
    re.compile(words, re.IGNORECASE)
    for words in (
        r"\bDROP (TABLE|COLUMN|VIEW|MATERIALIZED VIEW|FUNCTION|TYPE|SCHEMA|SEQUENCE)\b",
        r"\bDROP (?!POLICY|INDEX|TRIGGER|CONSTRAINT|DEFAULT|NOT NULL|TABLE|FUNCTION)\w+",
        r"\bRENAME\b",
        r"\bALTER (COLUMN )?\S+ (SET DATA )?TYPE\b",
        r"\bSET NOT NULL\b",
        r"\bADD (COLUMN )?(IF NOT EXISTS )?\w+ [^,;]*\bNOT NULL\b(?![^,;]*\b(DEFAULT|GENERATED)\b)",
        r"\bADD (CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN)\b(?!.*\bNOT VALID\b)",
        r"\bTRUNCATE\b|^\s*DELETE\b",
        r"\bREVOKE\b.*\bFROM vms_",
    )
]


def narrowing(text: str) -> Iterator[str]:
    """The statements by which the version before could be stopped; bodies of functions are none of them."""
    bare = _TEXT.sub("''", _COMMENT.sub(" ", _BODY.sub("''", text)))
    for statement in bare.split(";"):
        flat = " ".join(statement.split())
        if not re.match(r"ALTER TABLE|DROP|TRUNCATE|DELETE|REVOKE|ALTER", flat, re.IGNORECASE):
            continue
        unless_default = re.sub(r"DEFAULT \S+ NOT NULL", "", flat, flags=re.IGNORECASE)
        if any(rule.search(unless_default) for rule in _NARROWS):
            yield flat


def newer() -> list[Path]:
    return [path for path in sorted(FOLDER.glob("v*.sql")) if path.name[1:5] > BASE]


def test_what_came_since_only_adds() -> None:
    found = {one: path.name for path in newer() for one in narrowing(path.read_text(encoding="utf-8"))}
    left = {one: name for one, name in found.items() if one not in ALLOWED}
    assert not left, "give the older version what it needs, or say in ALLOWED why it needs it not"


def test_steps_are_sql_beside_a_module_that_only_runs_it() -> None:
    """So that the rule above sees all that a migration does."""
    for path in newer():
        assert "read_text" in path.with_suffix(".py").read_text(encoding="utf-8"), path.name
    modules = [path for path in FOLDER.glob("v*.py") if path.name[1:5] > BASE]
    assert {path.stem for path in modules} == {path.stem for path in newer()}


@pytest.mark.parametrize(
    "bad",
    [
        "DROP TABLE hold;",
        "ALTER TABLE hold DROP COLUMN who;",
        "ALTER TABLE hold DROP who;",
        "ALTER TABLE hold RENAME COLUMN who TO person;",
        "ALTER TABLE hold ALTER COLUMN who TYPE int USING 1;",
        "alter table hold alter who set not null;",
        "ALTER TABLE hold ADD COLUMN why text NOT NULL;",
        "ALTER TABLE hold ADD CHECK (who <> 'x');",
        "/* new */ DROP FUNCTION mine(int);",
        "TRUNCATE hold;",
        "DELETE FROM hold;",
        "REVOKE SELECT ON hold FROM vms_viewer;",
    ],
)
def test_the_rule_sees_what_takes_away(bad: str) -> None:
    assert list(narrowing(f"CREATE TABLE x (a int);\n{bad}\n"))


@pytest.mark.parametrize(
    "good",
    [
        "CREATE TABLE x (a int NOT NULL, b text);",
        "ALTER TABLE hold ADD COLUMN why text;",
        "ALTER TABLE hold ADD COLUMN why text NOT NULL DEFAULT '';",
        "ALTER TABLE hold ADD COLUMN why text DEFAULT '' NOT NULL;",
        "ALTER TABLE hold ALTER COLUMN why SET DEFAULT 'x';",
        "ALTER TABLE hold ADD CONSTRAINT c CHECK (who <> 'x') NOT VALID;",
        "DROP POLICY seen ON hold; CREATE POLICY seen ON hold USING (true);",
        "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE x; END $$;",
        "-- DROP TABLE hold;\nCREATE INDEX ON hold (who);",
        "CREATE INDEX i ON hold (who);",
    ],
)
def test_the_rule_lets_pass_what_adds(good: str) -> None:
    assert list(narrowing(good)) == []
