"""Every question that the product asks of a big catalogue, each with what a person would give it on that page.

The benchmark measures them; `tests/integration/test_catalogue_plans.py` asks them all of a small catalogue and turns
red when one reads a big table through, or when a function of the catalogue is in neither list here.
"""

from __future__ import annotations

from typing import Final

from catalogue_pages import PAGES
from catalogue_works import WORKS

QUESTIONS: Final = (*PAGES, *WORKS)

WRITES = {
    "planning": {"plan_run", "make_room"},
    "backfills": {"begin_backfill", "set_state", "next_round"},
    "backfill_planning": {"plan_backfill", "choose_to_look", "broken_left"},
    "backfill_items": {"record_items", "forget_bad"},
    "replacing": {"begin_replacing", "commit_replacing", "close_replaced", "forget_replaced"},
    "custody": {"record_receipts", "record_releases"},
    "retries": {"ask_retry"},
    "copying": {"record_copies", "store_to_use"},
    "telling_lineage": {"told_so_far", "note_told"},
    "holds": {"while_purging", "add_hold", "release_hold", "record_in_store"},
    "integrity": {"begin_round", "save_round", "save_proof", "record_repair", "note_stray", "forget_stray"},
    "adopting": {"keep_sheet", "make_places", "add_copy", "add_recording"},
    "losing": {"lose", "archive_from_source"},
    "alerts": {
        "one_round",
        "keep_alerts",
        "add_digest",
        "note_sent",
        "note_failed",
        "keep_awaited",
        "note_done",
    },
    "gap_notes": {"add_note", "withdraw_note"},
    "purge_plans": {"answer_plan", "start_applying", "finish_applying", "give_up_open_items", "drop_old_items"},
    "purging": {"mark", "close", "close_leftover", "unmark", "restore"},
    "reads": {"log_view"},
    "dead_months": {"drop_dead_months"},
    "partitions": {"ensure_partitions", "ensure_months_of"},
    "whole": {"set_aside", "settle", "check_rights", "server_major", "count_rows", "others_connected"},
    "users": {
        "add_user",
        "set_password",
        "set_role",
        "set_disabled",
        "link",
        "unlink",
        "grant",
        "revoke",
        "end_all_sessions",
    },
    "sessions": {
        "begin_session",
        "touch_session",
        "end_session",
        "end_own_sessions",
        "change_own_password",
        "change_own_language",
        "enter_by_provider",
        "begin_try",
        "forget_try",
        "forgive",
    },
    "connection": {"ask_for", "fetch_all", "fetch_one"},
    "exports": {
        "add_export",
        "ask_cancel",
        "ask_delete",
        "next_export",
        "save_progress",
        "finish_export",
        "note_expired",
    },
    "bookmarks": {"add_bookmark", "change_bookmark", "remove_bookmark"},
    "branches": {"invite", "join", "renew", "revoke", "note_seen", "log_refused"},
    "shares": {"add_share", "revoke_share", "count_share"},
    "restores": ("note_cold", "note_readable", "ask", "note_ready", "note_told"),
    "gap_causes": {"of_cameras", "not_looked_at"},
    "bookmark_search": {"chosen"},
}
"""Functions of the catalogue that are no questions: they write, read all there is because that is what they are for
(a backup counts every row), or are a part of an answer that is asked for. By module."""
