"""What must always hold, one function each, by the name under which a failure is reported.

Each looks at `Facts` and raises AssertionError that names the file, and what was being done (way, seed, where it was
killed). Those of ALWAYS hold at every moment, also right after a kill; those of AT_THE_END once all is done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from facts import BROKEN, GONE, LIVE, MARKED, CopyFact, Facts, part_of


def no_source_gone_without_proof(facts: Facts) -> None:
    """A source file that is gone, or has other bytes, lies proven in every store that its recording names."""
    for path, sha in facts.put.items():
        if facts.there.get(path) == sha:
            continue
        archived = [
            one
            for one in facts.recordings
            if one.source_sha256 == sha and path in facts.names.get(one.recording_id, {one.source})
        ]
        _hold(
            any(one.custody in ("archived", "released", "purged") for one in archived),
            facts,
            path,
            "it is gone from the footage folder and no recording of it is archived",
        )
        for one in archived:
            copies = [copy for copy in facts.copies_of(one.recording_id) if copy.part == "rendition"]
            _hold(
                len(copies) >= facts.min_copies,
                facts,
                path,
                f"it is gone from the footage folder and lies in {len(copies)} of {facts.min_copies} stores",
            )
            for copy in copies:
                _hold(
                    copy.state in (MARKED, GONE) or _is_good(facts, copy),
                    facts,
                    path,
                    f"it is gone from the footage folder and {copy.store} does not hold {copy.key} as it was proven",
                )
                _hold(copy.sha256 == one.rendition_sha256, facts, path, f"{copy.key} is not the rendition of it")


def no_duplicate_object(facts: Facts) -> None:
    """Each store holds each part of a recording once, each row is once, and each content is one recording."""
    parts: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for store, key in facts.objects:
        if (store, key) not in facts.told_strays:
            parts[store, *part_of(key)].append(key)
    for (store, stem, ending), keys in parts.items():
        _hold(len(keys) == 1, facts, stem + ending, f"{store} holds it {len(keys)} times: {sorted(keys)}")
    for identity, count in Counter(one.identity for one in facts.recordings).items():
        names = [one.source for one in facts.recordings if one.identity == identity]
        _hold(count == 1, facts, ", ".join(names), f"the catalogue has {count} recordings of the same content")
    rows = Counter((copy.store, copy.key) for copy in facts.copies)
    for (store, key), count in rows.items():
        _hold(count == 1, facts, key, f"the catalogue has {count} rows of it in {store}")


def every_file_accounted_for(facts: Facts) -> None:
    """Each source file that ever lay there is a recording: archived in all its stores, or quarantined with a reason;
    and each object belongs to one."""
    by_source = defaultdict(list)
    for one in facts.recordings:
        for name in facts.names.get(one.recording_id, {one.source}):
            by_source[name].append(one)
    for path in facts.put:
        found = by_source.get(path, [])
        _hold(len(found) == 1, facts, path, f"the catalogue has {len(found)} recordings of it")
        (one,) = found
        _hold(one.custody != "planned", facts, path, "it is still planned, though all runs have ended")
        if one.custody == "quarantined":
            _hold(one.reason != "", facts, path, "it is quarantined without a reason")
            _hold(path in facts.there, facts, path, "it is quarantined, and gone from the footage folder")
            continue
        live = {copy.store for copy in facts.copies_of(one.recording_id) if copy.part == "rendition"}
        _hold(bool(live), facts, path, f"it is {one.custody} and has no copy")
        wanted = {store for number, store in facts.wanted if number == one.recording_id}
        _hold(not wanted, facts, path, f"it is still not in {', '.join(sorted(wanted))}, though all runs have ended")
        there = path in facts.there
        _hold(there or one.custody != "archived", facts, path, "it is archived, and not in the footage folder any more")
        _hold(not there or path in facts.on_site, facts, path, f"it is {one.custody}, and still in the footage folder")
    rows = {(copy.store, copy.key) for copy in facts.copies}
    for store, key in facts.objects:
        known = (store, key) in rows or (store, key) in facts.told_strays
        _hold(known, facts, key, f"{store} holds it and the catalogue knows nothing of it")


def lineage_complete(facts: Facts) -> None:
    """All that is true of a recording was written down when it became true, once, in its order."""
    for one in facts.recordings:
        told = facts.events_of(one.recording_id)
        names = [event.event for event in told]
        counts = Counter(names)
        adopted = counts["adopted"] > 0
        first = names[0] if names else "nothing"
        _hold(first in ("planned", "quarantined", "adopted"), facts, one.source, f"its lineage begins with {first}")
        if one.custody in ("archived", "released", "purged") and not adopted:
            anew = counts["replanned"]
            for event in ("compressed", "archived"):
                _hold(1 <= counts[event] <= 1 + anew, facts, one.source, f"{event} is told {counts[event]} times")
            for event in ("planned", "copied"):
                _hold(counts[event] > 0, facts, one.source, f"{event} is not told")
            order = [names.index(event) for event in ("planned", "copied", "compressed", "archived")]
            _hold(order == sorted(order), facts, one.source, f"its lineage is out of order: {names}")
        for copy in facts.copies_of(one.recording_id):
            word = f"{copy.part} {copy.key} in {copy.store}"
            of_it = [event for event in told if event.event in ("copied", "adopted") and _names(event.detail, copy)]
            _hold(len(of_it) >= 1, facts, one.source, f"no event tells of {word}")
            if copy.state == GONE:
                purged = [event for event in told if event.event in ("purged", "copy_purged")]
                gone = any(copy.key in event.detail.get("keys", ()) for event in purged)
                _hold(gone or copy.part != "rendition", facts, one.source, f"no event tells that {word} was purged")
        if one.custody == "released":
            _hold(counts["released"] >= 1, facts, one.source, "no event tells that its source was released")
            removed = {path for event in told for path in event.detail.get("removed", ())}
            missing = {path for event in told for path in event.detail.get("already_gone", ())}
            for path in facts.names.get(one.recording_id, ()):
                _hold(
                    path in facts.there or path in removed | missing, facts, path, "no event tells that it was removed"
                )
        if one.custody == "quarantined":
            _hold(counts["quarantined"] >= 1, facts, one.source, "no event tells why it is quarantined")
        if one.custody == "purged":
            _hold(counts["purged"] == 1, facts, one.source, f"purged is told {counts['purged']} times")
            _hold(counts["purge_marked"] >= 1, facts, one.source, "no event tells that it was marked before")
        for event in told:
            _hold(event.run != "" or event.event in ("copied", "copy_failed"), facts, one.source, f"{event} has no run")


def row_and_object_agree(facts: Facts) -> None:
    """What the catalogue says is there is there, byte for byte; what it says is gone is gone; nothing is in between."""
    for copy in facts.copies:
        source = facts.source_of(copy.recording_id)
        what = f"{copy.key} in {copy.store}"
        if copy.state == LIVE:
            _hold(_is_good(facts, copy), facts, source, f"{what} is {_found(facts, copy)}, its row says it is good")
        elif copy.state == GONE:
            _hold((copy.store, copy.key) not in facts.objects, facts, source, f"{what} is there, its row says gone")
        else:
            word = {MARKED: "marked for deletion", BROKEN: "broken"}.get(copy.state, str(copy.state))
            _hold(False, facts, source, f"{what} is still {word}, though the next run has ended")
    live = {(copy.store, copy.key) for copy in facts.copies if copy.state == LIVE}
    for store, key in facts.objects:
        known = (store, key) in live or (store, key) in facts.told_strays
        _hold(known, facts, key, f"{store} holds it and no row says so")


def no_hold_purged(facts: Facts) -> None:
    """What was under a hold when it was made is there to the byte, and its rows say so."""
    for (store, key), sha in facts.held.items():
        _hold(facts.objects.get((store, key)) == sha, facts, key, f"it is under a hold, and gone from {store}")
        states = [copy.state for copy in facts.copies if (copy.store, copy.key) == (store, key)]
        _hold(states in ([LIVE], [MARKED]), facts, key, f"it is under a hold, and its row in {store} says {states}")


def only_what_expired_is_purged(facts: Facts) -> None:
    """Each recording of footage whose name begins with "young" lives with all its copies."""
    for one in facts.recordings:
        if one.source.startswith("young"):
            _hold(
                one.custody in ("archived", "released"), facts, one.source, f"it is {one.custody} and had not expired"
            )
            for copy in facts.copies_of(one.recording_id):
                _hold(_is_good(facts, copy), facts, one.source, f"{copy.key} is gone from {copy.store}, not expired")


def nothing_is_removed(before: Facts, after: Facts) -> None:
    """Every object that was there is there, with the bytes that it had, however damaged."""
    for (store, key), sha in before.objects.items():
        if after.objects.get((store, key)) != sha:
            what = f"{store} held it, and it was removed or overwritten"
            raise AssertionError(f"nothing_is_removed: {key}: {what} ({after.doing})")


ALWAYS = (no_source_gone_without_proof, no_duplicate_object)
AT_THE_END = (*ALWAYS, every_file_accounted_for, lineage_complete, row_and_object_agree)


def check(facts: Facts, *rules: Callable[[Facts], None]) -> None:
    """Check these; the one that does not hold is named."""
    for rule in rules:
        try:
            rule(facts)
        except AssertionError as broken:
            raise AssertionError(f"{rule.__name__}: {broken}") from None


def _hold(holds: bool, facts: Facts, file: str, what: str) -> None:
    if not holds:
        raise AssertionError(f"{file}: {what} ({facts.doing or 'nothing was killed'})")


def _is_good(facts: Facts, copy: CopyFact) -> bool:
    there = (copy.store, copy.key)
    return facts.objects.get(there) == copy.sha256 and facts.sizes[there] == copy.size_bytes


def _found(facts: Facts, copy: CopyFact) -> str:
    return "there with other bytes" if (copy.store, copy.key) in facts.objects else "gone"


def _names(detail: dict[str, object], copy: CopyFact) -> bool:
    return copy.key in (detail.get("key"), *_listed(detail.get("keys")))


def _listed(found: object) -> tuple[object, ...]:
    return tuple(found) if isinstance(found, list) else ()
