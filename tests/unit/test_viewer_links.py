"""What the address and a signed link may say: everything that does not fit is refused or dropped."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from viewer import direct, query, ranges, tokens
from vms.home import Home, from_environment
from vms.stores import links

AT = datetime(2026, 1, 31, 1, 2, 3, 456789, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return from_environment({"VMS_HOME": str(tmp_path)})


def _token(link: str) -> str:
    return link.removeprefix("/m/")


@pytest.mark.parametrize("part", ["rendition", "poster", "sprite"])
@pytest.mark.parametrize("disposition", ["inline", "attachment"])
def test_a_token_says_exactly_what_it_was_issued_for(
    home: Home, part: tokens.Part, disposition: tokens.Disposition
) -> None:
    link, expires = tokens.issue(home, "a mark", 42, AT, part, disposition)
    grant = tokens.check(home, _token(link))
    assert (grant.recording_id, grant.start_utc, grant.part, grant.disposition) == (42, AT, part, disposition)
    assert grant.mark == "a mark"
    lasts = 900 if (part, disposition) == ("rendition", "inline") else 3600
    assert lasts - 1 <= expires - time.time() <= lasts + (300 if lasts == 900 else 900)


def test_links_stay_the_same_while_a_page_is_drawn_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 900.0 * 1_000_000)
    first = tokens.issue(home, "a mark", 1, AT, "poster")
    monkeypatch.setattr(time, "time", lambda: 900.0 * 1_000_000 + 899)
    assert tokens.issue(home, "a mark", 1, AT, "poster") == first


def test_an_old_token_is_expired(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    link, expires = tokens.issue(home, "a mark", 1, AT, "rendition")
    monkeypatch.setattr(time, "time", lambda: expires + 1.0)
    with pytest.raises(tokens.Expired):
        tokens.check(home, _token(link))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[:-2] + ("AA" if t[-2:] != "AA" else "BB"),
        lambda t: "X" + t,
        lambda _: "",
        lambda _: "....",
        lambda _: "a" * 5000,
    ],
)
def test_a_changed_token_is_forged(home: Home, change) -> None:  # type: ignore[no-untyped-def]
    link, _ = tokens.issue(home, "a mark", 1, AT, "rendition")
    with pytest.raises(tokens.Forged):
        tokens.check(home, change(_token(link)))


def test_a_token_of_another_installation_is_forged(home: Home, tmp_path: Path) -> None:
    link, _ = tokens.issue(from_environment({"VMS_HOME": str(tmp_path / "other")}), "a mark", 1, AT, "rendition")
    with pytest.raises(tokens.Forged):
        tokens.check(home, _token(link))


@pytest.mark.parametrize(
    "find",
    [
        query.Find(),
        query.Find(
            sites=("ho", "makassar"), cameras=(("ho", "lobby"),), first=date(2026, 1, 1), last=date(2026, 1, 31)
        ),
        query.Find(everything=True, state="quarantined"),
        query.Find(run=("footage_ho", "scheduled__2026-01-31T00:00:00+00:00"), state="all"),
        query.Find(recording=(7, AT)),
        query.Find(recording=(7, datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC))),
    ],
)
def test_an_address_reads_back_as_the_search_that_wrote_it(find: query.Find) -> None:
    assert query.read({key: [value] for key, value in query.write(find).items()}) == find


@pytest.mark.parametrize(
    "params",
    [
        {"site": ["<script>", "../..", "A B", ""]},
        {"camera": ["ho/", "/x", "a/b/c", "'; DROP TABLE recording; --"]},
        {"from": ["2026-13-40", "x"], "to": ["0000-00-00"]},
        {"state": ["everything"]},
        {"run": ["no-slash"]},
        {"recording": ["1.99999999999999999999", "x"]},
        {"recording": ["-1.5"]},
    ],
)
def test_nonsense_in_the_address_is_dropped(params: dict[str, list[str]]) -> None:
    assert query.read(params) == query.Find()


def test_dates_in_the_wrong_order_are_turned_round() -> None:
    find = query.read({"from": ["2026-02-01"], "to": ["2026-01-01"]})
    assert (find.first, find.last) == (date(2026, 1, 1), date(2026, 2, 1))


def test_a_camera_may_be_named_alone_when_there_is_one_site() -> None:
    assert query.read({"site": ["ho"], "camera": ["lobby"]}).cameras == (("ho", "lobby"),)


def test_a_run_shows_every_state_unless_one_is_asked_for() -> None:
    assert query.read({"run": ["footage_ho/manual__1"]}).state == "all"
    assert query.read({"run": ["footage_ho/manual__1"], "state": ["purged"]}).state == "purged"


def test_the_filter_covers_whole_days_of_the_zone() -> None:
    wanted = query.as_filter(query.Find(first=date(2026, 1, 31), last=date(2026, 1, 31)), "Asia/Jakarta")
    assert wanted.from_utc == datetime(2026, 1, 30, 17, tzinfo=UTC)
    assert wanted.to_utc == datetime(2026, 1, 31, 17, tzinfo=UTC)
    assert wanted.states == ("archived", "released")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=90-200", (90, 10)),
        ("bytes=-10", (90, 10)),
        ("bytes=-1000", (0, 100)),
        ("BYTES=5-9", (5, 5)),
        ("bytes=0-1,5-6", None),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("items=0-5", None),
        ("bytes=a-b", None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    found = ranges.parse(header, 100)
    assert (None if found is None else (found.start, found.length)) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_a_range_outside_the_object_is_unsatisfiable(header: str, size: int) -> None:
    with pytest.raises(ranges.Unsatisfiable):
        ranges.parse(header, size)


@pytest.mark.parametrize(
    ("store", "goes"),
    [
        ("conn_id: amazon", ["https://company-cctv.s3.ap-southeast-3.amazonaws.com"]),
        ("conn_id: amazon, viewer: redirect", ["https://company-cctv.s3.ap-southeast-3.amazonaws.com"]),
        ("conn_id: amazon, viewer: through", []),
        ("conn_id: own", []),
        ("conn_id: own, viewer: redirect", ["http://s3.company.internal:9000"]),
    ],
)
def test_browsers_go_to_a_cloud_unless_told_not_to_and_to_a_server_of_ones_own_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, goes: list[str]
) -> None:
    """Links are signed here; that a cloud answers is made up, as there is none."""
    monkeypatch.setattr(direct, "is_answered", lambda _: True)
    monkeypatch.setenv("VMS_HOME", str(tmp_path))
    monkeypatch.delenv("VMS_SITES", raising=False)
    for name, more in (("amazon", {}), ("own", {"endpoint_url": "http://s3.company.internal:9000"})):
        told = {"conn_type": "aws", "login": "AKIA", "password": "x", "extra": {"region_name": "ap-southeast-3"} | more}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(told))
    home = from_environment()
    home.sites_file.write_text(
        f"stores: {{cloud: {{url: 's3://company-cctv/archive', {store}}}}}\n"
        "sites: [{id: ho, footage: /f, time_zone: WIB, stores: [cloud]}]\n"
    )
    at = direct.Direct(home)
    assert list(at.origins()) == goes
    place = SimpleNamespace(store_name="cloud", store_url="s3://company-cctv/archive")
    assert at.goes(place) == bool(goes)
    assert at.goes(place, "attachment") == ("redirect" in store), "a download has no second way"
    monkeypatch.setattr(direct, "is_answered", lambda _: False)
    assert list(direct.Direct(home).origins()) == (goes if "redirect" in store else [])


@pytest.mark.parametrize(
    ("host", "is_public"),
    [
        ("company-cctv.s3.ap-southeast-3.amazonaws.com", True),
        ("company-cctv.s3.cn-north-1.amazonaws.com.cn", True),
        ("company-cctv.storage.googleapis.com", True),
        ("company-cctv.s3.amazonaws.com", False),  # of no region: newer ones refuse it
        ("s3.ap-southeast-3.amazonaws.com", False),  # all buckets'
        ("company-cctv.vpce-1a2b.s3.ap-southeast-3.vpce.amazonaws.com", False),
        ("company-cctv.storage-x.p.googleapis.com", False),
        ("company-cctv.storage.googleapis.com.evil.example", False),
        ("other.storage.googleapis.com", False),
    ],
)
def test_a_public_server_is_the_buckets_own_in_a_cloud(host: str, is_public: bool) -> None:
    assert links.is_public(f"https://{host}/a?b", "s3://company-cctv/archive") is is_public
