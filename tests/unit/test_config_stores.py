"""What sites.yaml may ask of a store's objects: taken when the store can do it, else refused at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vms.config import load_config
from vms.model import StoreOptions

KMS_KEY = "arn:aws:kms:ap-southeast-3:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GOOGLE_KEY = "projects/p/locations/asia-southeast2/keyRings/cctv/cryptoKeys/footage"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The options of a store with these lines, or what is said against them."""
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))

    def tell(url: str, lines: str, retention: str = "180d") -> StoreOptions | str:
        path = tmp_path / "sites.yaml"
        keys = "".join(f"    {line}\n" for line in lines.splitlines())
        path.write_text(
            f"stores:\n  cloud:\n    url: {url}\n{keys}"
            f"sites:\n- {{id: ho, footage: /f, time_zone: WIB, retention: {retention}}}\n"
        )
        config = load_config(path)
        if config.errors:
            return config.errors[0].message.removeprefix(f"{path}:")
        return config.site("ho").stores[0].options

    return tell


@pytest.mark.parametrize(
    ("url", "lines", "options"),
    [
        ("s3://company-cctv", "", StoreOptions()),
        ("s3://company-cctv", "encryption: aes256", StoreOptions(encryption="AES256")),
        ("s3://company-cctv", "encryption: aws:kms", StoreOptions(encryption="aws:kms")),
        ("s3://company-cctv", f"encryption: aws:kms:{KMS_KEY}", StoreOptions(encryption=f"aws:kms:{KMS_KEY}")),
        ("s3://company-cctv", "encryption: aws:kms:alias/cctv", StoreOptions(encryption="aws:kms:alias/cctv")),
        ("gs://company-cctv", f"encryption: {GOOGLE_KEY}", StoreOptions(encryption=GOOGLE_KEY)),
        (
            "s3://company-cctv",
            "tags: {department: Keamanan & IT}",
            'tags: found keys and values; the tag "department: Keamanan & IT" is not allowed',
        ),
        (
            "s3://company-cctv",
            "tags:\n  department: security\n  empty:",
            StoreOptions(tags=(("department", "security"), ("empty", ""))),
        ),
        ("s3://company-cctv", "lock: 26w\nlock_mode: compliance", "retention: 180d end before the store"),
        ("s3://company-cctv", "lock: 25w\nlock_mode: compliance", StoreOptions(lock_days=175, lock_mode="compliance")),
        ("gs://company-cctv", "lock: 180d", StoreOptions(lock_days=180)),
        ("gs://company-cctv", "verify: read-back", StoreOptions(read_back=True)),
        ("s3://company-cctv", "verify: read-back", StoreOptions(read_back=True)),
        ("file:///mnt/nas/cctv", "verify: read-back", StoreOptions()),
    ],
)
def test_what_the_store_can_do_is_taken(told, url: str, lines: str, options: StoreOptions | str) -> None:
    found = told(url, lines)
    assert options in found if isinstance(options, str) else found == options


@pytest.mark.parametrize(
    ("url", "lines", "place", "said"),
    [
        ("gs://company-cctv", "tags: {a: b}", "4:11", ["stores.cloud.tags", "have no tags"]),
        ("file:///mnt/nas", "tags: {a: b}", "4:11", ["files have no tags"]),
        ("file:///mnt/nas", "encryption: AES256", "4:17", ["mounted folder"]),
        ("file:///mnt/nas", "lock: 7d", "4:11", ["snapshots"]),
        ("file:///mnt/nas", "storage_class: STANDARD", "4:20", ["only stores at s3:// and gs://"]),
        ("s3://company-cctv", "lock_mode: compliance", "4:16", ["there is no lock"]),
        ("s3://company-cctv", "lock: 12h", "4:11", ['found "12h"', "whole days, 1d to 36500d"]),
        ("s3://company-cctv", "lock: ever", "4:11", ['found "ever"', "a whole number with s, m, h, d or w"]),
        ("s3://company-cctv", "lock: 7d\nlock_mode: complience", "5:16", ['Did you mean "compliance"?']),
        ("s3://company-cctv", "verify: readback", "4:13", ["read-back", 'Did you mean "read-back"?']),
        ("s3://company-cctv", "encription: AES256", "4:5", ['Did you mean "encryption"?']),
        ("s3://company-cctv", "encryption: AES-256", "4:17", ['found "AES-256"', 'Did you mean "AES256"?']),
        ("s3://company-cctv", "encryption: aws:kms:arn:aws:kms:x:1:key/y", "4:17", ["a key's id, ARN or alias/name"]),
        ("s3://company-cctv", f"encryption: {GOOGLE_KEY}", "4:17", ["aws:kms:KEY"]),
        ("s3://company-cctv", f"encryption: aws:kms:{GOOGLE_KEY}", "4:17", ["aws:kms:KEY"]),
        ("gs://company-cctv", "encryption: AES256", "4:17", ["cryptoKeys/KEY", "encrypts everything anyway"]),
        ("gs://company-cctv", f"encryption: {GOOGLE_KEY}/cryptoKeyVersions/1", "4:17", ["cryptoKeys/KEY"]),
        ("s3://company-cctv", "storage_class: GLACIER\nverify: read-back", "5:13", ["restored"]),
        ("file:///mnt/nas", "viewer: redirect", "4:13", ["a folder has no address"]),
        ("s3://company-cctv", "viewer: redirct", "4:13", ['Did you mean "redirect"?', "https://s3.company.co.id"]),
        ("s3://company-cctv", "viewer: 'https://me:pw@s3.example'", "4:13", ["allowed are through, redirect"]),
        ("s3://company-cctv", "storage_class: GLACIR", "4:20", ['Did you mean "GLACIER"?']),
        ("s3://company-cctv", "tags: {" + ", ".join(f"t{n}: x" for n in range(11)) + "}", "4:11", ["11", "at most 10"]),
        ("s3://company-cctv", "tags: {aws:a: b}", "4:11", ["Amazon's own"]),
        ("s3://company-cctv", "tags: {a: 'b?'}", "4:11", ["allowed are letters, digits, spaces"]),
        ("s3://company-cctv", f"tags: {{a: {'b' * 257}}}", "4:11", ["256 for the text"]),
        ("s3://company-cctv", f"tags: {{{'a' * 129}: b}}", "4:11", ["128 characters for the name"]),
        ("s3://company-cctv", "tags: {a: {b: c}}", "4:11", ['the tag "a" has no text']),
        ("s3://company-cctv", "tags: security", "4:11", ["found", "allowed are keys"]),
    ],
)
def test_what_it_cannot_do_is_refused_at_its_line(told, url: str, lines: str, place: str, said: list[str]) -> None:
    found = told(url, lines)
    assert isinstance(found, str), found
    assert found.startswith(place + ":"), found
    for part in said:
        assert part in found


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("s3://company-cctv/a", "s3://company-cctv/a/", False),
        ("s3://company-cctv/a", "s3://company-cctv/b", True),
        ("s3://company-cctv/a, conn_id: here", "s3://company-cctv/a, conn_id: there", True),
        ("file:///mnt/nas", "file:///mnt/x/../nas/", False),
    ],
)
def test_two_stores_are_never_at_one_place(tmp_path: Path, one: str, other: str, apart: bool) -> None:
    path = tmp_path / "sites.yaml"
    path.write_text(
        f"stores:\n  one: {{url: {one}}}\n  other: {{url: {other}}}\n"
        "sites:\n- {id: ho, footage: /f, time_zone: WIB, stores: [one, other]}\n"
        "- {id: branch, footage: /g, time_zone: WIB, stores: [one]}\n"
    )
    config = load_config(path)
    assert [site.id for site in config.sites] == (["ho", "branch"] if apart else ["branch"])
    if not apart:
        assert f"{path}:3:" in config.errors[0].message
        assert 'the store "one" is at this very place' in config.errors[0].message


def test_a_lock_that_outlasts_the_retention_of_a_site_is_that_sites_mistake(told) -> None:
    assert isinstance(told("s3://company-cctv", "lock: 30d", retention="30d"), StoreOptions)
    found = told("s3://company-cctv", "lock: 31d", retention="30d")
    assert "6:52" in found
    assert 'retention: 30d end before the store "cloud" lets objects go (lock: 31d)' in found
