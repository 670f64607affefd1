"""The bundle for whoever helps from afar: complete, also while half of the system is away, and without any secret."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

import weed
from vms.cli import support_bundle
from vms.cli.app import main
from vms.cli.support_bundle import LOG_BYTES, write_bundle
from vms.home import Home, from_environment

HARD = 'p"ss wörd/+' + secrets.token_hex(6)
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def leaves(data: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield from leaves(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from leaves(value, key)
    elif isinstance(data, str):
        yield key, data


@pytest.fixture
def home(catalogue: tuple[Home, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose secrets have got into every place where secrets get to."""
    home = catalogue[0]
    for name in ("airflow_admin", "airflow_fernet", "metrics_token", "link_key"):
        home.secret(name)
    (home.secrets / "airflow_users.json").write_text(json.dumps({"admin": home.secret("airflow_admin")}))
    cloud = json.loads(weed.connection_text("http://127.0.0.1:8333", "AKIAEXAMPLE123456", HARD))
    key = {"private_key": "-----BEGIN PRIVATE KEY-----\nMIIEsecretsecret\n-----END PRIVATE KEY-----\n"}
    google = {"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": json.dumps(key)}}
    telegram = {"conn_type": "apprise", "password": "tgram://123456:AAtoken-of-a-bot/987654 mailto://u:hunter22@b.id"}
    home.connections.write_text(json.dumps({"cloud": cloud, "google": google, "telegram": telegram}))
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "aws", "password": "of-the-environment"}))
    key_of_google = quote(json.dumps({"private_key_id": "aabbcc0011", "private_key": "in-a-whole-key-file"}))
    monkeypatch.setenv("AIRFLOW_CONN_BACKUP", f"google-cloud-platform://?keyfile_dict={key_of_google}&num_retries=5")
    monkeypatch.setenv("AIRFLOW_VAR_OF_THE_OPERATOR", "whatever-it-is")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "of-who-takes-lineage")
    monkeypatch.setenv("VMS_POSTGRES_URL", "postgresql://boss:in%20the%20url@127.0.0.1:1/postgres")
    home.sites_file.write_text(
        f"stores:\n  nas: {{url: 'file://{tmp_path}/nas'}}\n# the recorder: rtsp://admin:seen-in-a-comment@10.0.0.9/1\n"
        f"sites:\n- {{id: ho, time_zone: WIB, stores: [nas], footage: {tmp_path}}}\n"
    )
    said = [*known_secrets(home), "of-the-environment", "of-who-takes-lineage", "in the url", "in-a-whole-key-file"]
    spelt = [*said, *(quote(one, safe="") for one in said), *(json.dumps(one) for one in said)]
    spelt += [base64.b64encode(one.encode()).decode() for one in said]
    home.logs.mkdir(exist_ok=True)
    (home.logs / "viewer.log").write_text(
        "\n".join(f"at {one} it ended" for one in spelt)
        + "\nAuthorization: Bearer abc.def.ghi\nlogged in with password=never-seen-before, as sari\n"
    )
    (home.logs / "airflow-api.log.1").write_bytes(b"\xff old\n" * LOG_BYTES + b"the end\n")
    return home


def known_secrets(home: Home) -> list[str]:
    """Every secret of the state folder, as its files hold them."""
    found = []
    for path in sorted(home.secrets.iterdir()):
        text = path.read_text().strip()
        if path.suffix != ".json":
            found.append(text)
            continue
        public = ("conn_type", "endpoint_url", "region_name", "signature_version")
        found += [value for key, value in leaves(json.loads(text)) if key not in public]
    return found


def bundle(home: Home, folder: Path, *, with_doctor: bool = False) -> tuple[dict[str, str], dict[str, str]]:
    path = folder / "bundle.zip"
    faults = write_bundle(home, path, NOW, with_doctor=with_doctor, tell=lambda _: None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as made:
        return {name: made.read(name).decode() for name in made.namelist()}, faults


def test_no_secret_is_in_it(home: Home, tmp_path: Path) -> None:
    parts, _ = bundle(home, tmp_path, with_doctor=True)
    assert json.loads(parts["doctor.json"])
    text = "\n".join(parts.values())
    said = [
        *known_secrets(home),
        "of-the-environment",
        "of-who-takes-lineage",
        "in the url",
        "in%20the%20url",
        "in-a-whole-key-file",
        "whatever-it-is",
        "MIIEsecret",
        "AAtoken-of-a-bot",
    ]
    said += ["hunter22", "abc.def.ghi", "never-seen-before", "seen-in-a-comment"]
    assert len(said) > 15
    for one in said:
        for spelling in (one, json.dumps(one)[1:-1], quote(one, safe=""), base64.b64encode(one.encode()).decode()):
            assert spelling not in text, spelling
    assert "[secret]" in parts["logs/viewer.log"]
    assert "as sari" in parts["logs/viewer.log"]
    told = json.loads(parts["connections.json"])
    assert told["cloud"]["extra"]["endpoint_url"] == "http://127.0.0.1:8333"
    assert told["cloud"]["password"] == told["telegram"]["password"] == "[secret]"


def test_everything_is_in_it_and_what_is_away_says_so(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_ANOTHER_PROGRAM", "nobody's business")
    short = {"nvr": {"conn_type": "http", "host": "10.0.0.9", "login": "ab1"}}  # too short to be looked for in texts
    home.connections.write_text(json.dumps(json.loads(home.connections.read_text()) | short))
    (home.run / "services.17.new").symlink_to("gone")  # as one that is replaced between being listed and looked at
    parts, faults = bundle(home, tmp_path)
    assert json.loads(parts["connections.json"])["nvr"] == short["nvr"] | {"login": "[secret]"}
    assert json.loads(parts["versions.json"])["packages"]["apache-airflow"]
    assert json.loads(parts["versions.json"])["ffmpeg"]
    assert json.loads(parts["catalogue.json"])["schema"] == json.loads(parts["versions.json"])["newest_schema"]
    assert json.loads(parts["machine.json"])["disks"]["state"]["total"] > 0
    assert "OF_ANOTHER_PROGRAM" not in parts["settings.json"]
    assert json.loads(parts["settings.json"])["VMS_POSTGRES_URL"].startswith("postgresql://[secret]@")
    assert json.loads(parts["status.json"])["state"] == "stopped"
    assert json.loads(parts["settings.json"])["AIRFLOW_VAR_OF_THE_OPERATOR"] == "[secret]"
    assert "seen" not in parts["sites.yaml"].partition("rtsp://")[2]
    old = parts["logs/airflow-api.log.1"]
    assert old.endswith("old\nthe end\n")
    assert old.splitlines()[1] == "\N{REPLACEMENT CHARACTER} old", "it begins with a whole line"
    assert len(old.encode("utf-8", "replace")) < 2 * LOG_BYTES
    assert faults.keys() == {"airflow.json"}
    assert "airflow.json" in parts["README.txt"]


def test_a_bundle_that_is_there_is_not_overwritten_and_a_broken_part_does_not_hide_the_others(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = home.secret("metrics_token")
    home.connections.write_text("{broken")
    parts, faults = bundle(replace(home, sites_file=tmp_path / token / "sites.yaml"), tmp_path)
    for told in (faults["sites.yaml"], parts["sites.yaml"], parts["README.txt"]):
        assert "[secret]/sites.yaml" in told
        assert token not in told
    before = (tmp_path / "bundle.zip").read_bytes()
    monkeypatch.setenv("VMS_HOME", str(home.root))
    assert main(["support-bundle", "--no-doctor", "--to", str(tmp_path / "bundle.zip")]) == 1
    assert "bundle.zip is there already" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "bundle.zip").read_bytes() == before
    assert {"sites.yaml", "connections.json"} <= faults.keys()
    assert "{broken" not in parts["connections.json"]
    assert "viewer.log" in str(parts.keys())


def test_who_ends_it_has_nothing_half_written(home: Home, tmp_path: Path) -> None:
    def tell(part: str) -> None:
        if part == "sites.yaml":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(home, tmp_path / "ended.zip", NOW, with_doctor=False, tell=tell)
    assert list(tmp_path.glob("*ended*")) == []


def test_a_folder_that_cant_be_written_is_named_with_what_to_do(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VMS_HOME", str(home.root))
    assert main(["support-bundle", "--no-doctor", "--to", str(tmp_path / "none" / "b.zip")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "none/b.zip can't be written (No such file or directory)" in said
    assert "--to" in said


def test_in_a_container_it_lies_where_it_stays_and_says_how_it_gets_out(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setenv("VMS_PARTS_AIRFLOW", "http://127.0.0.1:9")
    monkeypatch.setenv("VMS_PARTS_VIEWER_INSIDE", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    assert main(["support-bundle", "--no-doctor"]) == 0
    (made,) = home.root.glob("vms-support-*.zip")
    said = " ".join(capsys.readouterr().err.split())
    assert f"docker compose cp worker:{made} ." in said
    with zipfile.ZipFile(made) as bundle:
        assert "docker compose logs" in bundle.read("README.txt").decode()
    assert not list(tmp_path.glob("*.zip"))


def test_at_a_branch_it_has_what_the_branch_knows_and_the_logs_of_its_tasks(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support_bundle, "_is_container", lambda: False)  # whatever the tests run in
    own = home.root / "branch"
    own.mkdir()
    names = ("url", "site", "worker", "queue", "edge_secret", "version", "joined_at")
    (own / "branch.json").write_text(json.dumps(dict.fromkeys(names, "x") | {"site": "ho", "edge_secret": "of-jobs"}))
    (tmp_path / "footage").mkdir()
    (own / "sites.yaml").write_text(
        f"stores: {{nas: {{url: 'file://{tmp_path}/nas'}}}}\n"
        f"sites: [{{id: ho, time_zone: WIB, stores: [nas], footage: {tmp_path}/footage}}]\n"
    )
    task_log = home.logs / "airflow" / "dag_id=footage_ho" / "attempt=1.log"
    task_log.parent.mkdir(parents=True)
    task_log.write_text("it was signed with of-jobs, and ended\n")
    older = task_log.with_name("attempt=0.log")
    older.write_text("long ago\n")
    os.utime(older, (1, 1))
    monkeypatch.setattr(support_bundle, "TASK_LOGS", 1)
    parts, faults = bundle(from_environment({"VMS_HOME": str(home.root)}), tmp_path)
    assert json.loads(parts["branch.json"])["site"] == "ho"
    assert parts["logs/airflow/dag_id=footage_ho/attempt=1.log"] == "it was signed with [secret], and ended\n"
    assert "logs/airflow/dag_id=footage_ho/attempt=0.log" not in parts, "the newest of them"
    assert "journalctl" in parts["README.txt"]
    assert not {"catalogue.json", "airflow.json"} & parts.keys()
    assert faults.keys() <= {"logs/agent.log"}
