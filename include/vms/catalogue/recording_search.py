"""Which recordings are meant by a filter, put as SQL.

Every search bounds start_at (so that months drop out) and goes site by site or camera by camera (LATERAL) along an
index in its own order.
"""

# ruff: noqa: S608 (statements are put together from constant pieces; every value goes as a parameter)

from __future__ import annotations

from datetime import datetime, timedelta

from vms.catalogue.connection import AMONG, Params, pairs_of
from vms.catalogue.rows import CUSTODY, RecordingFilter

LONGEST = timedelta(hours=25)
"""No recording's end_at lies further behind its start_at (a CHECK of the schema)."""

_OPEN = frozenset(("planned", "quarantined"))


def conditions_of(wanted: RecordingFilter) -> tuple[list[str], Params]:
    """What the filter asks of a recording r itself: its time and its state."""
    conditions, params = ["true"], Params()
    if wanted.from_utc is not None:
        # the first condition bounds the index scan, the second makes the overlap exact
        conditions.append("r.start_at >= %s AND (r.end_at > %s OR r.start_at >= %s)")
        params += [_long_before(wanted.from_utc), wanted.from_utc, wanted.from_utc]
    if wanted.to_utc is not None:
        conditions.append("r.start_at < %s")
        params.append(wanted.to_utc)
    if wanted.states:
        conditions.append(f"r.custody IN ({', '.join(str(CUSTODY[state]) for state in wanted.states)})")
    return conditions, params


def _long_before(at: datetime) -> datetime:
    try:
        return at - LONGEST
    except OverflowError:
        return datetime.min.replace(tzinfo=at.tzinfo)


def rows_of(
    wanted: RecordingFilter, where: str, params: Params, limit: int | None, order: str = "DESC", *, whole: bool = True
) -> tuple[str, Params]:
    """FROM body that gives recordings as r: from a run's batches, or camera by camera, or site by site.

    limit: of each of these, in this order, which is that of an index. whole: not only what their sizes are.
    """
    heads, head_params = _heads(wanted)
    limits = [] if limit is None else [limit]
    tail = "" if limit is None else f"{ordered('r', order)} LIMIT %s"
    if wanted.run is not None:
        of_cameras = f"r.camera_id IN (SELECT c.camera_id FROM camera c JOIN site s USING (site_id) WHERE {heads})"
        body = f"""
            (SELECT r.* FROM (
                SELECT DISTINCT i.recording_id, i.start_at
                FROM run JOIN batch b USING (run_no) JOIN batch_item i USING (batch_id)
                WHERE run.dag_id = %s AND run.run_id = %s
                {ordered("i", order)}
            ) AS item
            CROSS JOIN LATERAL (
                SELECT * FROM recording
                WHERE recording.recording_id = item.recording_id AND recording.start_at = item.start_at
                OFFSET 0  -- one by one by key, never by reading months into a hash
            ) AS r
            WHERE {of_cameras if head_params else "true"} AND {where}
            {tail.replace("r.", "item.")}) AS r  -- in that order already, so that no more are looked up than asked for
        """
        return body, [*wanted.run, *head_params, *params, *limits]
    one = "camera" if wanted.cameras else "site"
    places = "camera c JOIN site s USING (site_id)" if wanted.cameras else "site s"
    head = f"(SELECT {one}_id FROM {places} WHERE {heads})"

    def of_each(columns: str, alias: str) -> str:
        return f"""
            {head} AS head
            CROSS JOIN LATERAL (
                SELECT {columns} FROM recording r WHERE r.{one}_id = head.{one}_id AND {where} {tail}
            ) AS {alias}
        """

    if whole and (wanted.cameras or (wanted.states and _OPEN.issuperset(wanted.states))):
        # which ones: from the index alone, as the rows of one camera lie far apart, and so do those that wait
        cut = "" if limit is None else f"{ordered('chosen', order)} LIMIT %s"
        body = f"""
            (SELECT chosen.* FROM {of_each("r.recording_id, r.start_at", "chosen")} {cut}) AS chosen
            CROSS JOIN LATERAL (
                SELECT * FROM recording
                WHERE recording.recording_id = chosen.recording_id AND recording.start_at = chosen.start_at
                OFFSET 0  -- one by one by key, never by reading months into a hash
            ) AS r
        """
        return body, [*head_params, *params, *limits, *limits]
    body = of_each("r.*" if whole else "r.duration_s, r.source_bytes, r.rendition_bytes", "r")
    return body, [*head_params, *params, *limits]


def ordered(alias: str, order: str) -> str:
    """As the indexes of time are."""
    return f"ORDER BY {alias}.start_at {order}, {alias}.recording_id {order}"


def _heads(wanted: RecordingFilter) -> tuple[str, Params]:
    conditions, params = ["true"], Params()
    if wanted.sites:
        conditions.append("s.slug = ANY(%s)")
        params.append(list(wanted.sites))
    if wanted.cameras:
        conditions.append(AMONG)
        params += pairs_of(wanted.cameras)
    return " AND ".join(conditions), params
