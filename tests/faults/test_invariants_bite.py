"""Each invariant is red when what it is about is broken, and names itself, the file and what was killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import invariants
from facts import GONE, MARKED, CopyFact, EventFact, Facts, RecordingFact

KEY = "ho/lobby/2026/01/31/20260131T165958Z_0123456789ab.mp4"
FILE = "lobby/20260131_235958.mp4"


def whole() -> Facts:
    """One file, archived in two stores and released."""
    events = [
        EventFact(1, "planned", {}, "run 1"),
        EventFact(1, "copied", {"key": KEY}, "run 1"),
        EventFact(1, "compressed", {}, "run 1"),
        EventFact(1, "archived", {}, "run 1"),
        EventFact(1, "released", {"removed": [FILE]}, "run 1"),
    ]
    return Facts(
        put={FILE: "source"},
        there={},
        objects={(store, KEY): "made" for store in ("nas", "cloud")},
        sizes={(store, KEY): 9 for store in ("nas", "cloud")},
        recordings=[RecordingFact(1, "released", FILE, "source", "made", (1, "0123"), "", False)],
        copies=[CopyFact(1, store, "rendition", 0, KEY, 9, "made") for store in ("nas", "cloud")],
        events=events,
        names={1: {FILE}},
        on_site=set(),
        told_strays=set(),
        wanted=set(),
        doing="way archive, seed 7",
        min_copies=2,
        held={("nas", KEY): "made"},
    )


def custody(facts: Facts, word: str) -> Facts:
    return replace(facts, recordings=[replace(facts.recordings[0], custody=word)])


def lost(facts: Facts) -> Facts:
    return replace(facts, objects={("nas", KEY): "made"})


def rotten(facts: Facts) -> Facts:
    return replace(facts, objects=facts.objects | {("nas", KEY): "other bytes"})


def unproven(facts: Facts) -> Facts:
    return replace(facts, copies=facts.copies[:1], objects={("nas", KEY): "made"})


def twice(facts: Facts) -> Facts:
    return replace(facts, objects=facts.objects | {("nas", KEY.replace(".mp4", ".r1.mp4")): "made"})


def recorded_twice(facts: Facts) -> Facts:
    return replace(facts, recordings=[*facts.recordings, replace(facts.recordings[0], recording_id=2)])


def forgotten(facts: Facts) -> Facts:
    return replace(facts, put=facts.put | {"gate/1.mp4": "x"}, there={"gate/1.mp4": "x"})


def foreign(facts: Facts) -> Facts:
    return replace(facts, objects=facts.objects | {("nas", "ho/gate/2026/01/01/x.mp4"): "?"})


def untold(event: str) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, events=[one for one in facts.events if one.event != event])


def told_twice(facts: Facts) -> Facts:
    return replace(facts, events=[*facts.events, facts.events[3]])


def state(number: int) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, copies=[replace(facts.copies[0], state=number), facts.copies[1]])


def of_young(facts: Facts) -> Facts:
    return replace(facts, recordings=[replace(facts.recordings[0], source="young/1.mp4", custody="purged")])


BROKEN: list[tuple[str, Callable[[Facts], Facts]]] = [
    ("no_source_gone_without_proof", lost),
    ("no_source_gone_without_proof", rotten),
    ("no_source_gone_without_proof", unproven),
    ("no_source_gone_without_proof", lambda facts: custody(facts, "planned")),
    ("no_duplicate_object", twice),
    ("no_duplicate_object", recorded_twice),
    ("every_file_accounted_for", forgotten),
    ("every_file_accounted_for", foreign),
    ("every_file_accounted_for", lambda facts: custody(facts, "planned")),
    ("every_file_accounted_for", lambda facts: custody(facts, "archived")),
    ("every_file_accounted_for", lambda facts: replace(facts, wanted={(1, "cloud")})),
    ("lineage_complete", untold("planned")),
    ("lineage_complete", untold("copied")),
    ("lineage_complete", untold("archived")),
    ("lineage_complete", untold("released")),
    ("lineage_complete", told_twice),
    ("row_and_object_agree", lost),
    ("row_and_object_agree", rotten),
    ("row_and_object_agree", state(MARKED)),
    ("row_and_object_agree", state(GONE)),
    ("row_and_object_agree", foreign),
    ("no_hold_purged", rotten),
    ("no_hold_purged", state(GONE)),
    ("only_what_expired_is_purged", of_young),
]


@pytest.mark.parametrize(("name", "broken"), BROKEN)
def test_invariant_bites(name: str, broken: Callable[[Facts], Facts]) -> None:
    rule = getattr(invariants, name)
    invariants.check(whole(), rule)
    with pytest.raises(AssertionError, match=rf"^{name}: .*\.mp4.*: .*way archive, seed 7"):
        invariants.check(broken(whole()), rule)


def test_removal_and_overwriting_are_seen() -> None:
    invariants.nothing_is_removed(whole(), whole())
    for after in (rotten(whole()), replace(whole(), objects={("nas", KEY): "made"})):
        with pytest.raises(AssertionError, match="removed or overwritten"):
            invariants.nothing_is_removed(whole(), after)


def test_every_rule_is_among_the_broken() -> None:
    names = {name for name, _ in BROKEN}
    assert {rule.__name__ for rule in (*invariants.ALWAYS, *invariants.AT_THE_END)} <= names
