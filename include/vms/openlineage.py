"""Tells a lineage service (Marquez, DataHub and others that speak OpenLineage) what became of each batch of footage.

Derived from the custody ledger after the fact, from the centre: no step that archives knows of it. A batch is one run;
its datasets are hours of a camera, on site and in each store. What is sent a second time has the same identity.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import attr
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState, set_producer
from openlineage.client.facet_v2 import (
    BaseFacet,
    DatasetFacet,
    input_statistics_input_dataset,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
)
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider
from requests import RequestException

from vms.catalogue.connection import Connection
from vms.catalogue.telling_lineage import Cursor, ToldBatch, ToldEvent, next_batches, note_told, told_so_far
from vms.config_openlineage import OpenLineagePolicy
from vms.errors import ConfigError, VmsError
from vms.stores.connections import connection

log = logging.getLogger(__name__)

PRODUCER = "urn:vms:video-backup"
set_producer(PRODUCER)
AT_ONCE = 100
SETTLED = timedelta(minutes=2)
"""A batch is told once it has been recorded for so long: what is being committed beside it then comes in order."""
TIMEOUT_S = 10.0
_SAID = 200  # signs of what it says to that

_NOT_OF_THE_EVENT = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 429})
"""Answers below 500 that speak of the key, the address or the moment: another event would get the same."""

_NAMES = uuid.UUID("5b0c2f0e-8f5e-5d0a-9c1f-6f1c2a7d4e11")
_HOUR_OF_KEY = re.compile(r"(.*/\d{8}T\d\d)\d{4}Z")


class LineageServiceError(VmsError):
    """The lineage service does not take what it is told."""


class BatchRefusedError(LineageServiceError):
    """It answers, and does not want this very batch."""


@dataclass(frozen=True)
class Target:
    """Where to tell it. key: "" for none."""

    url: str
    endpoint: str
    key: str
    namespace: str


@attr.define
class FootageFacet(DatasetFacet):
    """Of an hour of a camera: how much footage it is, how it is coded, and each file's own checksum."""

    seconds: float = attr.field(default=0.0)
    codecs: list[str] = attr.field(factory=list)
    kinds: list[str] = attr.field(factory=list)
    files: list[dict[str, Any]] = attr.field(factory=list)

    @staticmethod
    def _get_schema() -> str:
        return "urn:vms:facets:1-0-0:FootageFacet"


@attr.define
class CustodyFacet(BaseFacet):
    """Of a run: which run of Airflow it was, and what became of the batch's recordings."""

    dag: str = attr.field(default="")
    run: str = attr.field(default="")
    batch: int = attr.field(default=0)
    archived: int = attr.field(default=0)
    quarantined: int = attr.field(default=0)

    @staticmethod
    def _get_schema() -> str:
        return "urn:vms:facets:1-0-0:CustodyFacet"


def target_of(policy: OpenLineagePolicy | None, company: str) -> Target | None:
    """Where sites.yaml or the usual variables (OPENLINEAGE_URL, ...) say; None when nobody is to be told.

    Raises ConfigError when the key of the service is not defined.
    """
    if policy is not None:
        key = connection(policy.conn_id).password if policy.conn_id else ""
        return Target(policy.url, policy.endpoint, key, policy.namespace or company or "vms")
    url = os.environ.get("OPENLINEAGE_URL", "")
    if not url or os.environ.get("OPENLINEAGE_DISABLED", "").lower() in ("true", "1"):
        return None
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"OPENLINEAGE_URL is no address ({url}).", "Set it to http:// or https:// and a host.")
    endpoint = os.environ.get("OPENLINEAGE_ENDPOINT") or "api/v1/lineage"
    namespace = os.environ.get("OPENLINEAGE_NAMESPACE") or company or "vms"
    return Target(url, endpoint, os.environ.get("OPENLINEAGE_API_KEY", ""), namespace)


def tell(conn: Connection, target: Target, now: datetime, told: Callable[[ToldBatch], None]) -> int:
    """Tell all that was recorded and not told yet, in order; returns how many batches. What was taken is noted as it
    goes, so that a kill or a service that is away costs nothing but time.

    A batch that is refused is passed over once a later one is taken, which shows that it is the batch and not the
    service. After a hundred a newer one is tried for that. Raises LineageServiceError, for batches passed over when all
    others are told.
    """
    client = _client(target)
    count, passed_over = 0, 0
    refused: list[BatchRefusedError] = []  # since the last one that was taken
    sites: set[str] = set()  # whose batches these are
    first: BatchRefusedError | None = None
    after = told_so_far(conn, now)
    while batches := next_batches(conn, after, now - SETTLED, AT_ONCE):
        for batch in batches:
            after = batch.cursor
            is_taken = True
            try:
                _send(client, target, batch)
            except BatchRefusedError as error:
                is_taken = False
                first = first or error
                refused.append(error)
                sites.add(batch.site)
                if len(refused) < AT_ONCE:
                    continue
                if not _takes_a_newer(conn, client, target, now, sites):
                    raise
            for one in refused:
                log.warning("Passed over, as a later one was taken: %s", one.message)
            passed_over += len(refused)
            refused.clear()
            sites.clear()
            note_told(conn, batch.cursor)
            if is_taken:
                told(batch)
                count += 1
    if passed_over and first:
        raise LineageServiceError(
            f"{passed_over} refused by the lineage service and passed over; the first: {first.message}",
            "The log of this run names each, the service's own log says why. The others were told.",
        )
    if refused:
        raise refused[0]
    return count


def _takes_a_newer(conn: Connection, client: OpenLineageClient, target: Target, now: datetime, sites: set[str]) -> bool:
    """Whether it takes a batch of the last hour, of none of these sites when there is one. It is told again in its
    turn, which changes nothing: it has the same identity."""
    newer = next_batches(conn, Cursor(now - SETTLED - timedelta(hours=1), 0), now - SETTLED, AT_ONCE)
    for batch in [*(one for one in newer if one.site not in sites), *newer[-1:]][:1]:
        with contextlib.suppress(BatchRefusedError):
            _send(client, target, batch)
            return True
    return False


def event_of(batch: ToldBatch, namespace: str) -> RunEvent:
    """One finished run for a batch."""
    archived = [one for one in batch.events if one.event == "compressed"]
    quarantined = {one.recording_id for one in batch.events if one.event == "quarantined"}
    custody = CustodyFacet(
        dag=batch.dag_id, run=batch.run_id, batch=batch.position, archived=len(archived), quarantined=len(quarantined)
    )
    dag_run = parent_run.Run(runId=_id(batch.dag_id, batch.run_id))
    facets: dict[str, Any] = {
        "parent": parent_run.ParentRunFacet(run=dag_run, job=parent_run.Job(namespace=namespace, name=batch.dag_id)),
        "nominalTime": nominal_time_run.NominalTimeRunFacet(nominalStartTime=_time(batch.planned_at)),
        "vms_custody": custody,
    }
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="VMS", jobType="ARCHIVE")
    return RunEvent(
        eventType=RunState.COMPLETE if archived or not quarantined else RunState.FAIL,
        eventTime=_time(batch.recorded_at),
        run=Run(runId=_id(batch.dag_id, batch.run_id, batch.position), facets=facets),
        job=Job(namespace=namespace, name=f"{batch.dag_id}.batch", facets={"jobType": kind}),
        inputs=_inputs(batch, archived, namespace),
        outputs=_outputs(batch),
        producer=PRODUCER,
    )


def _inputs(batch: ToldBatch, archived: Iterable[ToldEvent], namespace: str) -> list[InputDataset]:
    """Hours of the camera as they lay on site."""
    hours: dict[str, list[ToldEvent]] = {}
    for one in archived:
        hours.setdefault(f"footage/{batch.site}/{batch.camera}/{one.start_utc.astimezone(UTC):%Y%m%dT%H}", []).append(
            one
        )
    return [
        InputDataset(
            namespace=namespace,
            name=name,
            facets={"vms_footage": _footage(events, "source", [])},
            inputFacets={
                "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                    size=sum(int(one.detail["source_bytes"]) for one in events), fileCount=len(events)
                )
            },
        )
        for name, events in sorted(hours.items())
    ]


def _outputs(batch: ToldBatch) -> list[OutputDataset]:
    """The same hours in each store: the key that all objects of an hour begin with."""
    made = {one.recording_id: one for one in batch.events if one.event == "compressed"}
    hours: dict[tuple[str, str], dict[int, ToldEvent]] = {}
    for one in batch.events:
        if one.event == "copied" and one.detail.get("part") == "rendition" and one.recording_id in made:
            found = _HOUR_OF_KEY.match(str(one.detail["key"]))
            if found and one.store_url:
                place = _place(one.store_url, found[1])
                hours.setdefault(place, {})[one.recording_id] = one
    return [
        OutputDataset(
            namespace=place[0],
            name=place[1],
            facets={"vms_footage": _footage([made[one] for one in copies], "rendition", list(copies.values()))},
            outputFacets={
                "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                    size=sum(int(one.detail["bytes"]) for one in copies.values()), fileCount=len(copies)
                )
            },
        )
        for place, copies in sorted(hours.items())
    ]


def _footage(events: Sequence[ToldEvent], what: str, copies: Sequence[ToldEvent]) -> FootageFacet:
    proofs = {one.recording_id: str(one.detail.get("checksum", "")) for one in copies}
    files = [
        {
            "recording": one.recording_id,
            "start": _time(one.start_utc),
            "bytes": one.detail[f"{what}_bytes"],
            "sha256": one.detail[f"{what}_sha256"],
        }
        | ({"confirmed": proofs[one.recording_id]} if proofs.get(one.recording_id) else {})
        for one in events
    ]
    is_made = what == "rendition"
    return FootageFacet(
        seconds=round(sum(float(one.detail["duration_s"]) for one in events), 3),
        codecs=sorted({one.codec for one in events if one.codec}) if is_made else [],
        kinds=sorted({str(one.detail["kind"]) for one in events}) if is_made else [],
        files=files,
    )


def _place(url: str, key: str) -> tuple[str, str]:
    """Namespace and name of what lies in a store, as OpenLineage names objects and files."""
    parts = urlsplit(url)
    name = "/".join(one for one in (parts.path.strip("/"), key) if one)
    return (f"{parts.scheme}://{parts.netloc}", name) if parts.netloc else ("file", f"/{name}")


def _client(target: Target) -> OpenLineageClient:
    key = ApiKeyTokenProvider({"apiKey": target.key}) if target.key else TokenProvider({})
    config = HttpConfig(
        url=target.url,
        endpoint=target.endpoint,
        timeout=TIMEOUT_S,
        auth=key,
        retry={"total": 2, "backoff_factor": 0.5, "allowed_methods": ["POST"], "status_forcelist": [502, 503, 504]},
    )
    return OpenLineageClient(transport=HttpTransport(config))


def _send(client: OpenLineageClient, target: Target, batch: ToldBatch) -> None:
    try:
        client.emit(event_of(batch, target.namespace))
    except (RequestException, OSError) as error:
        answer = getattr(error, "response", None)
        status: int = answer.status_code if answer is not None else 0
        said = f"{status} {' '.join(answer.text[:_SAID].split())}".strip() if answer is not None else ""
        what = (
            f"The lineage service at {urlsplit(target.url).hostname} did not take a batch of {batch.site}"
            f" ({batch.run_id}, batch {batch.position}, camera {batch.camera}): {said or type(error).__name__}."
        )
        if 400 <= status < 500 and status not in _NOT_OF_THE_EVENT:
            raise BatchRefusedError(
                what,
                "Its own log says why. The next run tells it again; once a later batch is taken it is passed over.",
            ) from error
        raise LineageServiceError(
            what,
            "Check its address and key (`openlineage` in sites.yaml). It is told from there on when it answers again.",
        ) from error


def _id(*words: object) -> str:
    return str(uuid.uuid5(_NAMES, "|".join(map(str, words))))


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
