"""What was archived is told to a lineage service over real HTTP: once, in order, after the fact."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from catalogue_world import ask, opened
from integrity_world import an_archive
from vms import openlineage
from vms.catalogue.telling_lineage import told_so_far
from vms.config import load_config
from vms.config_openlineage import OpenLineagePolicy
from vms.home import Home
from vms.openlineage import BatchRefusedError, LineageServiceError, Target, target_of, tell

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Service:
    """A lineage service: keeps what it is told, and answers what it is set to."""

    url: str = ""
    answer: int = 201
    refuses: Callable[[dict[str, Any]], bool] = lambda _event: False
    paths: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            event = json.loads(gzip.decompress(body) if packed else body)
            status = 422 if told.refuses(event) else told.answer
            if status < 300:
                told.events.append(event)
                told.paths.add(self.path)
                told.keys.add(self.headers.get("Authorization", ""))
            said = b"" if status < 300 else b"no  such\nfacet"
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    thread.join()


def test_each_batch_is_told_once_with_its_datasets_and_goes_on_after_the_service_was_away(
    catalogue: tuple[Home, str], tmp_path: Path, service: Service
) -> None:
    home, address = catalogue
    target = Target(service.url, "api/v1/lineage", "a-key", "company")
    now = datetime.now(UTC)
    with opened(address) as conn:
        told_so_far(conn, LONG_AGO)
        an_archive(conn, home, tmp_path, 14)
        before = ask(conn, "SELECT count(*) FROM lineage")
        service.answer = 500
        with pytest.raises(LineageServiceError, match="did not take a batch of ho"):
            tell(conn, target, now, lambda _batch: None)
        assert told_so_far(conn, now).recorded_at == LONG_AGO, "nothing counts as told that was not taken"
        service.answer = 201
        batches = ask(conn, "SELECT count(*) FROM batch")[0][0]
        assert tell(conn, target, now, lambda _batch: None) == batches
        assert tell(conn, target, now, lambda _batch: None) == 0
        assert ask(conn, "SELECT count(*) FROM lineage") == before, "the ledger is only read"
        facts = ask(
            conn,
            "SELECT r.recording_id, r.source_bytes, r.rendition_bytes, encode(r.rendition_sha256, 'hex'), c.key"
            " FROM recording r JOIN copy c USING (recording_id, start_at) WHERE c.part = 0",
        )

    assert (service.paths, service.keys) == ({"/api/v1/lineage"}, {"Bearer a-key"})
    assert len(service.events) == batches
    outputs = [one for event in service.events for one in event["outputs"]]
    inputs = [one for event in service.events for one in event["inputs"]]
    files = {one["recording"]: one for out in outputs for one in out["facets"]["vms_footage"]["files"]}
    assert {number: (one["bytes"], one["sha256"]) for number, one in files.items()} == {
        number: (size, digest) for number, _, size, digest, _ in facts
    }
    assert all(one["confirmed"] for one in files.values()), "what the store itself confirmed"
    assert sum(one["inputFacets"]["inputStatistics"]["size"] for one in inputs) == sum(row[1] for row in facts)
    assert sum(one["outputFacets"]["outputStatistics"]["fileCount"] for one in outputs) == 14
    assert {one["namespace"] for one in outputs} == {"file"}
    assert {one["namespace"] for one in inputs} == {"company"}
    hours = {re.sub(r"(T..)....Z.*", r"\1", f"{tmp_path}/nas/{row[4]}") for row in facts}
    assert {one["name"] for one in outputs} == hours
    assert len(hours) == 2, "fourteen files of five minutes lie in two hours"
    for event in service.events:
        _is_an_event(event)


def test_a_batch_that_is_refused_is_named_and_holds_up_no_other(
    catalogue: tuple[Home, str], tmp_path: Path, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    home, address = catalogue
    target = Target(service.url, "api/v1/lineage", "", "company")
    now = datetime.now(UTC)

    def told() -> int:
        return tell(conn, target, now, lambda _batch: None)

    with opened(address) as conn:
        begin = told_so_far(conn, LONG_AGO)
        an_archive(conn, home, tmp_path, 1)
        ask(  # three more, one after the other
            conn,
            "INSERT INTO batch (run_no, position, camera_id, title, store_ids, min_copies, kind, made_at, recorded_at)"
            " SELECT run_no, n, camera_id, title, store_ids, min_copies, kind, made_at,"
            " recorded_at + n * interval '1 second'"
            " FROM batch, generate_series(1, 3) n RETURNING 1",
        )
        service.refuses = lambda _event: True
        with pytest.raises(BatchRefusedError, match=r"of ho \(.*, batch 0, camera \w+\): 422 no such facet\."):
            told()
        assert told_so_far(conn, now) == begin, "it may be the service"
        service.answer, service.refuses = 401, lambda _event: False
        with pytest.raises(LineageServiceError, match="401") as other:
            told()
        assert "key" in other.value.remedy
        service.answer, service.refuses = 201, lambda event: event["run"]["facets"]["vms_custody"]["batch"] in (0, 3)
        with pytest.raises(LineageServiceError, match="1 refused by the lineage service and passed over") as passed:
            told()
        assert "): 422 no such facet." in passed.value.message
        assert "): 422 no such facet." in caplog.text
        assert len(service.events) == 2, "the others were told"
        with pytest.raises(BatchRefusedError, match="batch 3"):
            told()
        service.refuses = lambda _event: False
        assert told() == 1
        assert told() == 0
    assert len(service.events) == 3


def test_a_long_stretch_that_is_refused_is_passed_over_when_a_newer_batch_is_taken(
    catalogue: tuple[Home, str], tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openlineage, "AT_ONCE", 2)
    home, address = catalogue
    target = Target(service.url, "api/v1/lineage", "", "company")
    now = datetime.now(UTC)
    with opened(address) as conn:
        told_so_far(conn, LONG_AGO)
        an_archive(conn, home, tmp_path, 1)
        ask(
            conn,
            "INSERT INTO batch (run_no, position, camera_id, title, store_ids, min_copies, kind, made_at, recorded_at)"
            " SELECT run_no, n, camera_id, title, store_ids, min_copies, kind, made_at, %s - n * interval '10 minutes'"
            " FROM batch, generate_series(1, 9) n RETURNING 1",
            now,
        )
        ask(conn, "UPDATE batch SET recorded_at = %s - interval '5 minutes' WHERE position = 0 RETURNING 1", now)
        ask(
            conn,
            "WITH mks AS (INSERT INTO site (slug, name, tz) VALUES ('mks', 'mks', 'UTC') RETURNING site_id),"
            " gate AS (INSERT INTO camera (site_id, slug, name) SELECT site_id, 'g', 'g' FROM mks RETURNING camera_id)"
            " UPDATE batch SET camera_id = gate.camera_id FROM gate WHERE position = 6 RETURNING 1",
        )
        begin, told = told_so_far(conn, now), list[int]()

        def tell_now() -> None:
            tell(conn, target, now, lambda batch: told.append(batch.position))

        service.refuses = lambda _event: True
        with pytest.raises(BatchRefusedError, match="batch 8"):
            tell_now()
        assert told_so_far(conn, now) == begin, "it takes nothing at all"
        service.refuses = lambda event: event["run"]["facets"]["vms_custody"]["batch"] not in (0, 6)
        with pytest.raises(LineageServiceError, match="8 refused by the lineage service and passed over"):
            tell_now()
        tell_now()
    assert told == [6, 0]
    assert len({event["run"]["runId"] for event in service.events}) == 2, "the one that was tried is the same run"


def _is_an_event(event: dict[str, Any]) -> None:
    """What the specification asks of every run event."""
    assert event["eventType"] in ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    assert event["schemaURL"].startswith("https://openlineage.io/spec/")
    UUID(event["run"]["runId"])
    assert event["job"]["namespace"] == "company"
    assert event["job"]["name"].startswith("footage_ho")
    named = [*event["inputs"], *event["outputs"]]
    assert all(one["namespace"] and one["name"] for one in named)
    holders = [event["run"], event["job"], *named]
    kinds = ("facets", "inputFacets", "outputFacets")
    facets = [facet for one in holders for kind in kinds for facet in (one.get(kind) or {}).values()]
    assert facets
    assert all(facet["_producer"] == event["producer"] and facet["_schemaURL"] for facet in facets)


def test_asked_for_the_first_time_it_begins_now_and_what_is_just_being_recorded_waits(
    catalogue: tuple[Home, str], tmp_path: Path, service: Service
) -> None:
    home, address = catalogue
    target = Target(service.url, "api/v1/lineage", "", "company")
    with opened(address) as conn:
        an_archive(conn, home, tmp_path, 2)
        now = datetime.now(UTC)
        assert tell(conn, target, now, lambda _batch: None) == 0
        ask(conn, "UPDATE batch SET recorded_at = %s RETURNING 1", now + timedelta(seconds=30))
        assert tell(conn, target, now + timedelta(minutes=1), lambda _batch: None) == 0
        assert tell(conn, target, now + timedelta(minutes=5), lambda _batch: None) == 1
    assert service.keys == {""}


def test_where_to_tell_comes_from_sites_yaml_or_the_usual_variables(
    catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = catalogue[0]
    monkeypatch.setenv("VMS_HOME", str(home.root))
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_API_KEY", "OPENLINEAGE_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    assert target_of(None, "PT Contoh") is None
    monkeypatch.setenv("OPENLINEAGE_URL", "http://10.0.0.7:5000")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "from-the-environment")
    assert target_of(None, "PT Contoh") == Target(
        "http://10.0.0.7:5000", "api/v1/lineage", "from-the-environment", "PT Contoh"
    )
    home.connections.write_text(json.dumps({"company_lineage": {"conn_type": "http", "password": "k"}}))
    home.connections.chmod(0o600)
    home.sites_file.write_text(
        "openlineage: {url: 'https://lineage.example.co.id', conn_id: company_lineage, namespace: cctv}\nsites: []\n"
    )
    config = load_config(home.sites_file)
    assert config.openlineage == OpenLineagePolicy(
        "https://lineage.example.co.id", "company_lineage", "api/v1/lineage", "cctv"
    )
    assert target_of(config.openlineage, "") == Target("https://lineage.example.co.id", "api/v1/lineage", "k", "cctv")
    home.sites_file.write_text("openlineage: {url: 'https://who:secret@lineage.example.co.id'}\nsites: []\n")
    wrong = load_config(home.sites_file)
    assert wrong.openlineage is None
    assert "a password does not belong here" in wrong.errors[0].message
