"""Which bookmarks are meant: those of some cameras, of a time, of words, a tag or a person, the newest first.

Few or very many may say the same word, and a camera may have none or all of them: the way is chosen by how many there
are, so that none reads all bookmarks.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vms.catalogue.connection import AMONG, Connection, Params, fetch_all, pairs_of
from vms.catalogue.timeline import CameraKey

LONGEST_RANGE = timedelta(days=31)
_MOST_WORDS = 10
_FEW = 1000  # bookmarks that are looked at one by one
_SOON = 50  # for one that is shown so many are looked at before they are looked for another way
_NEWEST = 10_000  # bookmarks of all cameras together that are gone through for them
_HEADS = f"(SELECT c.camera_id FROM camera c JOIN site s USING (site_id) WHERE {AMONG} OFFSET 0) AS head"
"""The cameras asked for, found before anything is looked for of any."""
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class BookmarkFilter:
    """Which ones. cameras: one of these, None: any that who asks may see. words: all of them begin a word of
    its note or tags. tag: it has it. who: made it. [from_utc, to_utc): it overlaps this."""

    cameras: tuple[CameraKey, ...] | None = None
    from_utc: datetime | None = None
    to_utc: datetime | None = None
    words: str = ""
    tag: str = ""
    who: str = ""


def chosen(
    conn: Connection, wanted: BookmarkFilter, limit: int, after: tuple[datetime, int] | None
) -> tuple[str, Params]:
    """A FROM body that gives the rows asked for as chosen(from_at, bookmark_id)."""
    met = None if wanted.cameras is None else _met(conn, wanted, limit, after)
    if met is not None:
        times, numbers = [begin for begin, _ in met], [number for _, number in met]
        return "unnest(%s::timestamptz[], %s::bigint[]) AS chosen (from_at, bookmark_id)", Params([times, numbers])
    few, many = _sources(conn, wanted)
    said = " NATURAL JOIN ".join(f"{source} AS said{number} (bookmark_id)" for number, (source, _) in enumerate(few))
    said_values = [value for _, value in few]
    timed = "b" if wanted.cameras is None else "x"
    conditions, values = _conditions(wanted, after, timed)
    conditions += [condition for condition, _ in many]
    values += [value for _, value in many]
    where, order = " AND ".join(conditions), f"{timed}.from_at DESC, {timed}.bookmark_id DESC"
    if wanted.cameras is None:
        found = f"{said} JOIN bookmark b USING (bookmark_id)" if few else "bookmark b"
        return (
            f"(SELECT b.from_at, b.bookmark_id FROM {found} WHERE {where} ORDER BY {order} LIMIT %s) AS chosen",
            Params([*said_values, *values, limit]),
        )
    marks = f"""
        CROSS JOIN LATERAL (  -- one by one by key: a policy asked of all bookmarks takes half a minute
            SELECT * FROM bookmark WHERE bookmark.bookmark_id = x.bookmark_id OFFSET 0
        ) AS b
        WHERE {where}
    """
    if few:
        return (
            f"""
            (
                SELECT DISTINCT x.from_at, x.bookmark_id
                FROM (SELECT bookmark_id FROM {said}) AS said
                CROSS JOIN LATERAL (
                    SELECT * FROM bookmark_camera WHERE bookmark_camera.bookmark_id = said.bookmark_id OFFSET 0
                ) AS x
                JOIN {_HEADS} USING (camera_id) {marks}
                ORDER BY {order} LIMIT %s
            ) AS chosen
            """,
            Params([*said_values, *pairs_of(wanted.cameras), *values, limit]),
        )
    return (
        f"""
        (
            SELECT DISTINCT x.from_at, x.bookmark_id
            FROM {_HEADS}
            CROSS JOIN LATERAL (
                SELECT x.from_at, x.bookmark_id FROM bookmark_camera x {marks} AND x.camera_id = head.camera_id
                ORDER BY {order} LIMIT %s
            ) AS x
            ORDER BY {order} LIMIT %s
        ) AS chosen
        """,
        Params([*pairs_of(wanted.cameras), *values, limit, limit]),
    )


def _met(
    conn: Connection, wanted: BookmarkFilter, limit: int, after: tuple[datetime, int] | None
) -> list[tuple[datetime, int]] | None:
    """The rows asked for as (from_at, bookmark_id), when they are soon met among the newest of each camera; else None.

    Those come from an index alone. Down to the oldest of a camera that has more, none of any camera is missing.
    """
    most = _SOON * limit
    deep = max(limit, _NEWEST // max(1, len(wanted.cameras or ())))
    timed, timed_values = _conditions(replace(wanted, who=""), after, "x")
    conditions, values = _conditions(BookmarkFilter(who=wanted.who), None, "b")
    for _, condition, value in _said(wanted):
        conditions.append(condition)
        values.append(value)
    found = fetch_all(
        conn,
        f"""
        WITH newest AS MATERIALIZED (
            SELECT x.from_at, x.bookmark_id, row_number() OVER (
                PARTITION BY camera_id ORDER BY x.from_at DESC, x.bookmark_id DESC
            ) AS number
            FROM {_HEADS}
            CROSS JOIN LATERAL (
                SELECT x.from_at, x.bookmark_id FROM bookmark_camera x
                WHERE x.camera_id = head.camera_id AND {" AND ".join(timed)}
                ORDER BY x.from_at DESC, x.bookmark_id DESC LIMIT %s
            ) AS x
        ), bound AS MATERIALIZED (
            SELECT from_at, bookmark_id FROM newest WHERE number = %s ORDER BY from_at DESC, bookmark_id DESC LIMIT 1
        )
        SELECT x.from_at, x.bookmark_id, EXISTS (SELECT FROM bound) OR (SELECT count(*) FROM newest) > %s
        FROM (
            SELECT DISTINCT from_at, bookmark_id FROM newest
            WHERE NOT EXISTS (
                SELECT FROM bound WHERE (newest.from_at, newest.bookmark_id) < (bound.from_at, bound.bookmark_id)
            )
            ORDER BY from_at DESC, bookmark_id DESC LIMIT %s
        ) AS x
        CROSS JOIN LATERAL (SELECT * FROM bookmark WHERE bookmark.bookmark_id = x.bookmark_id OFFSET 0) AS b
        WHERE {" AND ".join(conditions)}
        ORDER BY x.from_at DESC, x.bookmark_id DESC LIMIT %s
        """,
        [*pairs_of(wanted.cameras or ()), *timed_values, deep, deep, most, most, *values, limit],
    )
    if len(found) < limit and (not found or found[0][2]):
        return None
    return [(begin, number) for begin, number, _ in found]


def _sources(conn: Connection, wanted: BookmarkFilter) -> tuple[list[tuple[str, object]], list[tuple[str, object]]]:
    """What the words and the tag asked for are found by: (sources of few bookmarks, conditions on a bookmark b).

    What few say is found from the index of what is said; what very many say is soon met along the time.
    """
    few: list[tuple[str, object]] = []
    many: list[tuple[str, object]] = []
    for source, condition, value in _said(wanted):
        found = fetch_all(conn, f"SELECT count(*) FROM (SELECT {source} LIMIT %s) AS said", [value, _FEW + 1])
        if found[0][0] <= _FEW:
            few.append((source, value))
        else:
            many.append((condition, value))
    return few, many


def _said(wanted: BookmarkFilter) -> list[tuple[str, str, object]]:
    """For the words and the tag: how bookmarks that say it are found, how one is asked, and the value of both."""
    asked: list[tuple[str, str, object]] = []
    words = _words(wanted.words)
    if words:
        asked.append(("bookmarks_saying(to_tsquery('simple', %s))", "b.words @@ to_tsquery('simple', %s)", words))
    if wanted.tag:
        asked.append(("bookmarks_tagged(%s)", "b.tags @> %s", [wanted.tag]))
    return asked


def _conditions(wanted: BookmarkFilter, after: tuple[datetime, int] | None, timed: str) -> tuple[list[str], Params]:
    """timed: the table whose times an index has, bookmark b or its cameras x."""
    conditions, params = ["true"], Params()
    if wanted.from_utc is not None:
        conditions.append(f"{timed}.from_at >= %s AND {timed}.to_at >= %s")
        params += [wanted.from_utc - LONGEST_RANGE, wanted.from_utc]
    if wanted.to_utc is not None:
        conditions.append(f"{timed}.from_at < %s")
        params.append(wanted.to_utc)
    if after is not None:
        conditions.append(f"({timed}.from_at, {timed}.bookmark_id) < (%s, %s)")
        params += after
    if wanted.who:
        conditions.append("b.user_id = (SELECT user_id FROM viewer_user WHERE name = %s)")
        params.append(wanted.who)
    return conditions, params


def _words(text: str) -> str:
    """A question of to_tsquery: all these words, each as the beginning of one. Letters and digits alone, cut as
    bookmark_words cuts them."""
    return " & ".join(f"{one}:*" for one in _WORD.findall(text)[:_MOST_WORDS])
