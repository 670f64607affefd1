"""A store's connection as environment and file define it, and what S3's answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError

from vms.errors import ConfigError, RestoreNeeded, StoreDenied, StoreError, StoreFull, StoreUnreachable
from vms.home import from_environment
from vms.stores import open_store, s3_client, s3_line
from vms.stores.connections import Connection, connection, keep_in_file
from vms.stores.links import GivesLinks
from vms.stores.s3_errors import refusal
from vms.stores.s3_put import (
    LEAST_PART_BYTES,
    MOST_PART_BYTES,
    PART_BYTES,
    WHOLE_BYTES,
    part_bytes,
    part_bytes_of,
    state_file,
)

SECRET = "p/ss:w@rd%?"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"conn_type": "aws", "login": "key", "password": SECRET, "extra": {"region_name": "x"}}),
        json.dumps({"conn_type": "aws", "login": "key", "password": SECRET, "extra": '{"region_name": "x"}'}),
        "aws://key:p%2Fss%3Aw%40rd%25%3F@/?region_name=x",
        "aws://key:p%2Fss%3Aw%40rd%25%3F@/?__extra__=%7B%22region_name%22%3A+%22x%22%7D",
    ],
)
def test_json_and_uri_say_the_same(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", text)
    found = connection("company_s3")
    assert (found.kind, found.login, found.password, found.extra["region_name"]) == ("aws", "key", SECRET, "x")


def test_host_port_and_schema_of_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_A", "google-cloud-platform://https://files.example:8443/one%2Ftwo")
    found = connection("a")
    assert (found.kind, found.host, found.port) == ("google_cloud_platform", "https://files.example", 8443)
    assert found.schema == "one/two"


@pytest.mark.parametrize(
    "text", ["", "  ", "{", '{"extra": "x"}', '{"extra": [1]}', '{"port": "x"}', f"aws://key:{SECRET}@host:port/"]
)
def test_what_can_not_be_read_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", text)
    with pytest.raises(StoreDenied, match="AIRFLOW_CONN_COMPANY_S3") as refused:
        connection("company_s3")
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_connection_shows_no_secret() -> None:
    shown = repr(Connection("a", login="the key", password=SECRET, extra={"aws_session_token": SECRET}))
    assert SECRET not in shown
    assert "the key" not in shown


def test_no_conn_id_is_no_connection() -> None:
    assert connection("") == Connection("")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"role_arn": "arn:aws:iam::1:role/x"}, "role_arn"),
        ({"endpoint_url": f"http://key:{SECRET}@host"}, "holds a password"),
        ({"config_kwargs": {"no_such_thing": 1}}, "does not make an S3 client"),
        ({"profile_name": "nobody has this"}, "does not make an S3 client"),
    ],
)
def test_unusable_connections_are_told(monkeypatch: pytest.MonkeyPatch, extra: dict[str, object], words: str) -> None:
    text = json.dumps({"conn_type": "aws", "login": "key", "password": SECRET, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", text)
    with pytest.raises(StoreDenied, match=words) as refused:
        s3_client.client("company_s3")
    assert SECRET not in str(refused.value)


def test_a_changed_connection_gives_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = []
    for password in ("old", "new"):
        monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", json.dumps({"login": "key", "password": password}))
        clients.append(s3_client.client("company_s3"))
        assert s3_client.client("company_s3") is clients[-1]
    assert clients[0] is not clients[1]


@pytest.mark.parametrize("url", ["s3://", "s3://Bucket/x", "s3://bucket/a b", "s3://bucket/.x", "s3://bucket/x?y"])
def test_urls_that_name_no_bucket_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store|bucket"):
        open_store("cloud", url)


def answered(code: str, status: int, message: str = "", ahead: timedelta = timedelta(0)) -> ClientError:
    """An answer of a server whose clock is behind this machine's by `ahead`."""
    date = format_datetime(datetime.now(UTC) - ahead, usegmt=True)
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": {"date": date}}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "PutObject")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (lambda: answered("InvalidAccessKeyId", 403), StoreDenied, "access key"),
        (lambda: answered("SignatureDoesNotMatch", 403), StoreDenied, "secret key"),
        (lambda: answered("ExpiredToken", 400), StoreDenied, "access key"),
        (lambda: answered("AccessDenied", 403), StoreDenied, "PutObject"),
        (lambda: answered("403", 403), StoreDenied, "PutObject"),
        (lambda: answered("403", 403, ahead=timedelta(minutes=20)), StoreDenied, "20 minutes apart"),
        (lambda: answered("RequestTimeTooSkewed", 403, ahead=timedelta(minutes=-20)), StoreDenied, "20 minutes apart"),
        (lambda: answered("NoSuchBucket", 404), StoreDenied, "bucket"),
        (lambda: answered("PermanentRedirect", 301), StoreDenied, "region_name"),
        (NoCredentialsError, StoreDenied, "conn_id"),
        (lambda: answered("SlowDown", 503), StoreUnreachable, "fewer requests"),
        (lambda: answered("InternalError", 500), StoreUnreachable, "tried again"),
        (lambda: answered("RequestTimeout", 400), StoreUnreachable, "tried again"),
        (lambda: answered("BadDigest", 400), StoreUnreachable, "sent again"),
        (lambda: ConnectTimeoutError(endpoint_url="http://x"), StoreUnreachable, "line"),
        (lambda: answered("XMinioStorageFull", 507), StoreFull, "Free space"),
        (lambda: answered("QuotaExceeded", 403), StoreFull, "Free space"),
        (lambda: answered("InternalError", 500, "write: no space left on device"), StoreFull, "Free space"),
        (lambda: answered("InvalidObjectState", 403), RestoreNeeded, "restored"),
        (lambda: answered("NotImplemented", 501), StoreError, "stores check"),
        (lambda: answered("SomethingNew", 400), StoreError, "log"),
    ],
)
def test_what_answers_mean(error: Callable[[], Exception], kind: type[StoreError], words: str) -> None:
    found = refusal("cloud", "s3://bucket/x", error(), "writing a/b.mp4")
    assert type(found) is kind
    assert words in str(found)
    assert all(one in found.message for one in ("cloud", "s3://bucket/x", "writing a/b.mp4"))


@pytest.mark.parametrize("size", [0, 1, WHOLE_BYTES, WHOLE_BYTES + 1, 10**9, 200 * 10**9, 5 * 2**40])
def test_parts_fit_what_s3_allows(size: int) -> None:
    part = part_bytes(size)
    assert -(-size // part) <= 10_000
    assert part <= 5 * 2**30
    assert part >= size if size <= WHOLE_BYTES else part >= PART_BYTES


@pytest.mark.parametrize(
    ("bytes_per_s", "part"),
    [(10_000, LEAST_PART_BYTES), (1 << 20, 10 << 20), (2_500_000, 23 << 20), (10**9, MOST_PART_BYTES)],
)
def test_parts_take_about_ten_seconds_of_the_line(bytes_per_s: float, part: int) -> None:
    assert part_bytes(10**9, bytes_per_s) == part
    assert -(-(10**12) // part_bytes(10**12, bytes_per_s)) <= 10_000
    assert part_bytes(5 << 20, bytes_per_s) == 5 << 20  # never worth two requests


def test_line_is_known_by_what_went_over_it_and_a_begun_upload_keeps_its_parts(tmp_path: Path) -> None:
    client = SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://line.example"))
    file = tmp_path / "day.mp4"
    assert part_bytes_of(client, file, "cloud", 10**9) == PART_BYTES
    assert part_bytes_of(client, file, "cloud", 2 * 10**9) == 29 << 20
    s3_line.note("http://line.example", 1000, 0.000_001)  # too small to tell anything
    s3_line.note("http://other.example", 8 << 20, 1.0)
    assert part_bytes_of(client, file, "cloud", 10**9) == PART_BYTES
    s3_line.note("http://line.example", 8 << 20, 8.0)
    assert part_bytes_of(client, file, "cloud", 10**9) == 10 << 20
    state_file(file, "cloud").write_text(json.dumps({"part_bytes": 20 << 20}))
    assert part_bytes_of(client, file, "cloud", 10**9) == 20 << 20
    for damaged in ("{", "[]", '{"part_bytes": 0}', '{"part_bytes": "7"}'):
        state_file(file, "cloud").write_text(damaged)
        assert part_bytes_of(client, file, "cloud", 10**9) == 10 << 20


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The connections file of a fresh home."""
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("AIRFLOW_CONN_COMPANY_S3", raising=False)
    home = from_environment()
    home.prepare()
    return home.connections


ENTRY = {"conn_type": "aws", "login": "key", "password": SECRET, "extra": {"region_name": "x"}}


@pytest.mark.parametrize("entry", [ENTRY, "aws://key:p%2Fss%3Aw%40rd%25%3F@/?region_name=x", json.dumps(ENTRY)])
def test_the_file_says_the_same_as_the_variable(file: Path, entry: object) -> None:
    file.write_text(json.dumps({"another": {"password": "other"}, "company_s3": entry}))
    found = connection("company_s3")
    assert (found.kind, found.login, found.password, found.extra["region_name"]) == ("aws", "key", SECRET, "x")


def test_the_variable_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(json.dumps({"company_s3": {**ENTRY, "login": "of the file"}}))
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", json.dumps({**ENTRY, "login": "of the variable"}))
    assert connection("company_s3").login == "of the variable"
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", " ")
    assert connection("company_s3").login == "of the file"


def test_a_fresh_home_has_an_empty_file_for_its_owner_only(file: Path) -> None:
    assert json.loads(file.read_text()) == {}
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_undefined_connection_names_both_ways_to_define_it(file: Path) -> None:
    file.unlink()
    with pytest.raises(StoreDenied, match="not defined") as refused:
        connection("company_s3")
    assert str(file) in refused.value.remedy
    assert "AIRFLOW_CONN_COMPANY_S3" in refused.value.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{\n  "company_s3": {"password": "p/ss:w@rd%?",\n  }\n}', "line 3, column 3"),
        (b'["p/ss:w@rd%?"]', "no object"),
        (b'{"company_s3": ["p/ss:w@rd%?"]}', "neither an object nor a URI"),
        (b'{"company_s3": {"password": "p/ss:w@rd%?", "port": "x"}}', "can't be read"),
        (b'{"company_s3": "p/ss:w@rd%?\xff"}', "no UTF-8"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_broken_file_is_told_without_what_it_holds(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    with pytest.raises(StoreDenied) as refused:
        connection("company_s3")
    assert words in str(refused.value)
    assert str(file) in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_open_to_others_is_refused_with_the_command_that_closes_it(file: Path, mode: int) -> None:
    file.write_text(json.dumps({"company_s3": ENTRY}))
    file.chmod(mode)
    with pytest.raises(StoreDenied, match=f"{mode:04o}") as refused:
        connection("company_s3")
    assert refused.value.remedy == f"chmod 600 {file}"


def test_keeping_a_connection_leaves_the_others_and_an_equal_file_alone(file: Path) -> None:
    home = from_environment()
    file.write_text(json.dumps({"company_s3": ENTRY}))
    keep_in_file(home, "demo_s3", {"login": "new"})
    assert (connection("company_s3").login, connection("demo_s3").login) == ("key", "new")
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(json.dumps({"demo_s3": {"login": "new"}}))  # in a format of one's own
    before = file.stat()
    keep_in_file(home, "demo_s3", {"login": "new"})
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    file.write_text("{broken")
    with pytest.raises(StoreDenied, match="line 1"):
        keep_in_file(home, "demo_s3", {"login": "new"})
    assert file.read_text() == "{broken"


def test_a_changed_file_gives_another_client(file: Path) -> None:
    clients = []
    for password in ("old", "new"):
        file.write_text(json.dumps({"company_s3": {"login": "key", "password": password}}))
        clients.append(s3_client.client("company_s3"))
        assert s3_client.client("company_s3") is clients[-1]
    assert clients[0] is not clients[1]


@pytest.mark.parametrize(
    ("bucket", "extra", "address", "begins"),
    [
        ("cctv", {}, "", "https://cctv.s3.ap-southeast-3.amazonaws.com/archive/ho/a.mp4?"),
        ("my.cctv", {}, "", "https://s3.ap-southeast-3.amazonaws.com/my.cctv/archive/ho/a.mp4?"),
        ("cctv", {"endpoint_url": "http://10.0.0.5:8333"}, "", "http://10.0.0.5:8333/cctv/archive/ho/a.mp4?"),
        ("cctv", {"endpoint_url": "http://10.0.0.5:8333"}, "https://s3.pt.id", "https://s3.pt.id/cctv/archive/ho/a."),
    ],
)
def test_a_link_names_the_server_that_a_browser_reaches(
    monkeypatch: pytest.MonkeyPatch, bucket: str, extra: dict[str, str], address: str, begins: str
) -> None:
    """Amazon's newer regions refuse links that are signed for the address of all regions."""
    text = {"conn_type": "aws", "login": "key", "password": SECRET, "extra": {"region_name": "ap-southeast-3", **extra}}
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_S3", json.dumps(text))
    store = open_store("cloud", f"s3://{bucket}/archive", conn_id="company_s3")
    assert isinstance(store, GivesLinks)
    link = store.link("ho/a.mp4", 300, "video/mp4", 'inline; filename="a.mp4"', address)
    assert link.startswith(begins)
    assert "ap-southeast-3%2Fs3%2Faws4_request" in link
    assert "X-Amz-Expires=300" in link
    with pytest.raises(StoreError):
        store.link("../other", 300, "video/mp4", "inline")
