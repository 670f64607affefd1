"""The closed rule, and what a footage folder may hold."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import replace

import pytest

from vms import footage
from vms.errors import FootageUnreachable
from vms.footage import Look, decide, list_footage, looks_like_video, second_look_helps, with_newer_sibling
from vms.time_limit import Hung, each_within

FRESH = Look(age_s=5, unchanged_s=None, changed=False, newer_sibling=False, clock_known=True)


@pytest.mark.parametrize(
    ("look", "closed"),
    [
        (FRESH, False),
        (replace(FRESH, age_s=footage.OLD_ENOUGH_S), True),
        (replace(FRESH, age_s=footage.OLD_ENOUGH_S, clock_known=False), False),
        (replace(FRESH, age_s=footage.OLD_ENOUGH_ON_A_STRANGE_CLOCK_S, clock_known=False), True),
        (replace(FRESH, age_s=footage.SETTLE_S), False),
        (replace(FRESH, age_s=footage.SETTLE_S, unchanged_s=footage.SECOND_LOOK_S), True),
        (replace(FRESH, newer_sibling=True), False),
        (replace(FRESH, newer_sibling=True, unchanged_s=footage.SECOND_LOOK_S), True),
        (replace(FRESH, unchanged_s=footage.SECOND_LOOK_S), False),
        (replace(FRESH, age_s=-7200, unchanged_s=footage.SETTLE_S), True),  # a clock that runs ahead
        (replace(FRESH, age_s=1e6, changed=True), False),  # it grew though its mtime stands still
        (replace(FRESH, age_s=1e6, changed=True, unchanged_s=footage.SECOND_LOOK_S), True),
        (replace(FRESH, age_s=1e6, unchanged_s=1e6, temporary=".part"), False),
    ],
)
def test_closed_rule(look, closed):
    assert (decide(look) == "") is closed


def test_a_second_look_is_worth_while_only_where_it_can_close():
    assert second_look_helps(replace(FRESH, newer_sibling=True))
    assert not second_look_helps(FRESH)
    assert not second_look_helps(replace(FRESH, temporary="~"))
    assert not second_look_helps(replace(FRESH, age_s=footage.OLD_ENOUGH_S))


def test_only_a_later_file_that_is_not_older_on_disk_is_a_newer_sibling():
    files = [("a1", "a", 1.0, 10), ("a2", "a", 2.0, 20), ("a3", "a", 3.0, 15), ("b1", "b", 1.0, 1)]
    assert with_newer_sibling(files) == {"a1"}  # a3 was written before a2's last change


@pytest.mark.parametrize(
    ("head", "video"),
    [
        (b"\0\0\0\x20ftypisom", True),
        (b"\x1aE\xdf\xa3", True),
        (b"RIFF\0\0\0\0AVI LIST", True),
        (b"RIFF\0\0\0\0WAVEfmt ", False),
        (b"DHAV\xfd", True),
        (b"IMKH\x01\x01", True),
        ((b"G" + b"\0" * 187) * 5, True),
        ((b"\0\0\0\0G" + b"\0" * 187) * 5, True),
        (b"\0\0\0\x01\x67\x64", True),
        (b"\0\0\0\x01\x40\x01", True),
        (b"Going home today", False),
        (b"", False),
    ],
)
def test_a_file_of_unknown_ending_is_known_by_its_first_bytes(tmp_path, head, video):
    (tmp_path / "x").write_bytes(head)
    assert looks_like_video(tmp_path / "x") is video


def test_listing_gives_every_odd_thing_a_kind_and_ends(tmp_path):
    root = tmp_path / "f"
    (root / "cam").mkdir(parents=True)
    (root / "dir.mp4").mkdir()
    (root / "dir.mp4" / "in.mp4").write_bytes(b"1")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.mp4").write_bytes(b"1")
    (root / "@eaDir").mkdir()
    (root / "@eaDir" / "thumb.mp4").write_bytes(b"1")
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"1")
    names = [
        b"plain.mp4",
        b"new\nline.mp4",
        b"-rf.mp4",
        b"caf\xe9.mp4",
        "😀 'q\".MP4".encode(),
        b"x" * 251 + b".mp4",
        b"odd",
    ]
    for name in names:
        with open(os.path.join(os.fsencode(root / "cam"), name), "wb") as file:  # noqa: PTH118, PTH123
            file.write(b"1")
    for name in ("x.mp4.part", ".x.mp4.Ab12Cd", "x.mp4~", "x.jpg", "notes.txt", "y.tmp"):
        (root / name).write_bytes(b"1")
    (root / "out.mp4").symlink_to(outside)
    (root / "outdir").symlink_to(tmp_path)
    (root / "in.mp4").symlink_to(root / "cam" / "plain.mp4")
    (root / "loop").symlink_to(root)
    (root / "gone.mp4").symlink_to("nowhere")
    os.mkfifo(root / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s.mp4"))

    listing = list_footage(root, "ho")
    kinds = {one.path: one.kind for one in listing.found}
    assert kinds == {
        "dir.mp4": "directory",
        "dir.mp4/in.mp4": "file",
        "cam/plain.mp4": "file",
        "cam/new%0Aline.mp4": "file",
        "cam/-rf.mp4": "file",
        "cam/caf%E9.mp4": "file",
        "cam/😀 'q\".MP4": "file",
        "cam/" + "x" * 251 + ".mp4": "file",
        "cam/odd": "file",
        "x.mp4.part": "file",
        ".x.mp4.Ab12Cd": "file",
        "x.mp4~": "file",
        "out.mp4": "link_outside",
        "outdir": "link_outside",
        "gone.mp4": "broken_link",
        "pipe.mp4": "not_a_file",
        "s.mp4": "not_a_file",
    }
    temporary = {one.path for one in listing.found if one.temporary}
    assert temporary == {"x.mp4.part", ".x.mp4.Ab12Cd", "x.mp4~"}
    assert listing.ignored == 5  # picture, text, y.tmp, and the two links to what lies inside


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_reported(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    try:
        assert [one.kind for one in list_footage(tmp_path, "ho").found] == ["unreadable"]
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_missing_folder_names_site_folder_and_remedy(tmp_path):
    with pytest.raises(FootageUnreachable, match=r"Site ho: .*/none does not exist") as raised:
        list_footage(tmp_path / "none", "ho")
    assert "mounted" in raised.value.remedy
    (tmp_path / "file").touch()
    with pytest.raises(FootageUnreachable, match="is no folder"):
        list_footage(tmp_path / "file", "ho")


def test_a_folder_that_hangs_is_given_up(tmp_path, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(footage.os, "scandir", lambda _: never.wait())
    with pytest.raises(FootageUnreachable, match="did not answer"):
        list_footage(tmp_path, "ho", stall_s=0.2)
    never.set()


def test_files_that_hang_are_given_up_and_the_rest_comes_out():
    never = threading.Event()
    got = []
    with pytest.raises(Hung):
        got.extend(each_within(0.2, 2, [0, 1, 2], lambda item: never.wait() if item == 0 else item))
    never.set()


def test_the_clock_of_the_share_leaves_nothing_behind(tmp_path):
    assert footage.share_clock(tmp_path) == pytest.approx(tmp_path.stat().st_mtime, abs=5)
    assert list(tmp_path.iterdir()) == []
    assert footage.share_clock(tmp_path / "none") is None


def test_a_fingerprint_tells_size_head_and_tail(tmp_path):
    def mark(content: bytes) -> str:
        (tmp_path / "x").write_bytes(content)
        return footage.fingerprint(tmp_path / "x")

    body = b"a" * 200_000
    marks = {mark(body), mark(body + b"a"), mark(b"b" + body[1:]), mark(body[:-1] + b"b"), mark(b""), mark(b"a")}
    assert len(marks) == 6
    assert all(len(one) == 32 for one in marks)
    assert mark(body) in marks


def test_a_fingerprint_never_opens_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "p")
    with pytest.raises(OSError, match="no plain file"):
        footage.fingerprint(tmp_path / "p")
