"""What every site's DAG must look like, whatever sites.yaml says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from footage import footage_dag
from vms import config_yaml
from vms.config import load_config

DAGS = Path(__file__).resolve().parents[2] / "dags"
DIAGRAM = ["sense", "plan", "batch.compress", "batch.upload", "batch.record", "release", "verdict"]

BROKEN = """
  - id: broken
    footage: /nowhere
    stores: [nass]
"""

Configure = Callable[..., Path]


def bag() -> DagBag:
    """The sites' DAGs, without those that are not about one site."""
    found = DagBag(str(DAGS))
    assert found.import_errors == {}
    found.dags = {dag_id: dag for dag_id, dag in found.dags.items() if "footage" in dag.tags}
    return found


@pytest.fixture
def dag(configure: Configure) -> DAG:
    configure("ho")
    return bag().dags["footage_ho"]


def test_one_dag_per_site_and_no_other(configure: Configure) -> None:
    configure("ho", *(f"branch-{number:02d}" for number in range(20)))
    assert set(bag().dags) == {"footage_ho", *(f"footage_branch-{number:02d}" for number in range(20))}


def test_tasks_stand_in_the_order_of_the_diagram(dag: DAG) -> None:
    assert [task.task_id for task in dag.topological_sort()] == DIAGRAM
    for before, after in pairwise(DIAGRAM):
        assert before in dag.get_task(after).upstream_task_ids


def test_runs_one_at_a_time_without_catching_up_and_starts_enabled(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.is_paused_upon_creation is False
    assert dag.dagrun_timeout is not None


def test_many_sites_are_sorted_by_region_and_tier(configure: Configure) -> None:
    path = configure("ho", "makassar")
    path.write_text(path.read_text().replace("id: makassar", "id: makassar\n    region: Sulawesi\n    tier: ' A '"))
    dags = bag().dags
    assert dags["footage_makassar"].tags == {"footage", "makassar", "Asia/Jakarta", "region:Sulawesi", "tier:A"}
    assert dags["footage_ho"].tags == {"footage", "ho", "Asia/Jakarta"}
    path.write_text(path.read_text().replace("Sulawesi", "'a, b'"))
    assert "config-error" in bag().dags["footage_makassar"].tags


def test_tags_owner_and_documents(dag: DAG) -> None:
    assert dag.tags == {"footage", "ho", "Asia/Jakarta"}
    assert dag.owner == "vms"
    assert "Ho" in (dag.doc_md or "")
    assert all(name in (dag.doc_md or "") for name in ("sense", "plan", "batch", "release", "verdict"))


def test_every_task_has_owner_retries_time_limit_and_a_document_for_people(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.owner == "vms"
        assert task.retries >= 1
        assert task.retry_delay.total_seconds() <= 60
        assert task.execution_timeout is not None, task.task_id
        if task.task_id != "verdict":
            assert task.doc_md, task.task_id


def test_a_wrong_sites_yaml_is_not_tried_again(dag: DAG) -> None:
    from airflow.sdk import RetryAction

    from vms.errors import CatalogueError, ConfigError

    for task in dag.tasks:
        assert task.retry_policy.evaluate(ConfigError("x"), 1, 3).action is RetryAction.FAIL
        assert task.retry_policy.evaluate(CatalogueError("x"), 1, 3).action is RetryAction.DEFAULT


def test_each_task_waits_where_what_it_needs_is(dag: DAG) -> None:
    queues = {task.task_id: task.queue for task in dag.tasks}
    assert {name for name, queue in queues.items() if queue == "site-ho"} == {"sense", "batch.upload", "release"}
    assert queues["batch.compress"] == "encode"
    assert {name for name, queue in queues.items() if queue == "centre"} == {"plan", "batch.record", "verdict"}


@pytest.mark.parametrize("runs_on", ["worker", "edge"])
def test_a_site_with_its_own_machine_has_all_that_is_near_it_done_there(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, runs_on: str
) -> None:
    path = configure("ho", extra=f"  - {{id: far, footage: /far, time_zone: WIB, stores: [nas], runs_on: {runs_on}}}\n")
    monkeypatch.setenv("VMS_PARTS_AIRFLOW", "http://api-server:8080")
    made = {site.id: footage_dag(site) for site in load_config(path).sites}
    there = {task.task_id: task for task in made["far"].tasks if task.queue == "site-far"}
    assert set(there) == {"sense", "batch.compress", "batch.upload", "release"}
    assert {task.executor for task in there.values()} == {"edge" if runs_on == "edge" else None}
    assert {task.executor for one in made.values() for task in one.tasks if task.queue != "site-far"} == {None}
    assert there["batch.compress"].max_active_tis_per_dag == 2
    assert made["ho"].get_task("batch.compress").max_active_tis_per_dag > 2
    assert {task.queue for task in made["far"].tasks} == {"site-far", "centre"}
    if runs_on == "edge":  # a day without line is no fault
        assert made["far"].dagrun_timeout > timedelta(days=7) > made["ho"].dagrun_timeout


def test_on_one_machine_such_a_site_says_what_to_do_and_the_others_run(configure: Configure) -> None:
    configure("ho", extra="  - {id: far, footage: /far, time_zone: WIB, stores: [nas], runs_on: edge}\n")
    found = bag().dags
    assert [task.task_id for task in found["footage_far"].tasks] == ["correct_sites_yaml"]
    assert "runs_on: edge" in found["footage_far"].doc_md
    assert "runs_on: centre" in found["footage_far"].doc_md
    assert "sense" in found["footage_ho"].task_dict


def test_with_workers_in_containers_a_backlog_goes_to_more_than_one(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure("ho")
    monkeypatch.setenv("VMS_PARTS_AIRFLOW", "http://api-server:8080")
    assert bag().dags["footage_ho"].get_task("batch.compress").max_active_tis_per_dag > 2


def test_release_and_verdict_run_whatever_happened_before(dag: DAG) -> None:
    for name in ("batch.record", "release", "verdict"):
        assert dag.get_task(name).trigger_rule == "all_done"


def test_a_backlog_takes_only_a_few_places_at_once(dag: DAG) -> None:
    for name in ("batch.compress", "batch.upload"):
        assert dag.get_task(name).max_active_tis_per_dag == 2


def test_batches_have_names(dag: DAG) -> None:
    for name in ("batch.compress", "batch.upload", "batch.record"):
        assert "title" in (dag.get_task(name).map_index_template or "")


def test_short_tasks_of_other_sites_go_before_a_backlog(dag: DAG) -> None:
    weight = {task.task_id: task.priority_weight for task in dag.tasks}
    assert {task.weight_rule for task in dag.tasks} == {"absolute"}
    assert weight["sense"] == weight["verdict"] > weight["batch.upload"] > weight["batch.compress"]


def test_a_disabled_site_keeps_its_dag_but_has_no_schedule(configure: Configure) -> None:
    configure("ho", enabled="false")
    dag = bag().dags["footage_ho"]
    assert not dag.timetable.can_be_scheduled
    assert dag.is_paused_upon_creation is False
    assert "disabled" in dag.tags


def test_serialised_form_is_stable_and_comes_back(configure: Configure) -> None:
    configure("ho", "makassar")
    first, second = bag(), bag()
    for dag_id, dag in first.dags.items():
        one = DagSerialization.to_dict(dag)
        assert one == DagSerialization.to_dict(second.dags[dag_id])
        again = DagSerialization.from_dict(json.loads(json.dumps(one)))
        assert again.timetable.serialize() == dag.timetable.serialize()
        assert list(again.task_dict) == list(dag.task_dict)


def test_tunables_make_no_new_version(configure: Configure) -> None:
    path = configure("ho")
    before = DagSerialization.to_dict(bag().dags["footage_ho"])
    path.write_text(path.read_text() + "    keep_source: 7d\n    retention: 30d\n")
    assert DagSerialization.to_dict(bag().dags["footage_ho"]) == before


def test_a_broken_site_shows_its_error_and_stops_no_other(configure: Configure) -> None:
    configure("ho", extra=BROKEN)
    dags = bag().dags
    assert set(dags) == {"footage_ho", "footage_broken"}
    broken = dags["footage_broken"]
    assert broken.tags == {"footage", "config-error"}
    assert "nass" in (broken.doc_md or "")
    (task,) = broken.tasks
    with pytest.raises(Exception, match="nass"):
        task.python_callable()


def test_an_error_beside_the_sites_has_a_dag_of_its_own(configure: Configure) -> None:
    path = configure("ho")
    path.write_text(path.read_text().replace("stores:", "profiles:\n  odd:\n    codec: mpeg1\nstores:", 1))
    dags = bag().dags
    assert set(dags) == {"footage_ho", "sites_yaml"}
    assert "mpeg1" in (dags["sites_yaml"].doc_md or "")


def test_a_broken_file_is_an_import_error_with_the_message(configure: Configure) -> None:
    configure("ho").write_text("sites: [\n")
    errors = DagBag(str(DAGS)).import_errors
    assert len(errors) == 8
    assert all("sites.yaml" in text and "ConfigError" in text for text in errors.values())


def test_sites_are_shared_out_among_the_shards(configure: Configure) -> None:
    ids = [f"site-{number:03d}" for number in range(100)]
    configure(*ids)
    files = {dag.fileloc for dag in bag().dags.values()}
    assert len(files) == len(list((DAGS / "footage_shards").glob("*.py"))) == 8
    for file in (DAGS / "footage_shards").glob("*.py"):
        assert re.search(rf"shard={file.stem[-1]}\)", file.read_text())


def test_a_few_more_sites_make_no_new_version_of_the_others(configure: Configure) -> None:
    def serialised(count: int) -> dict[str, object]:
        configure(*(f"branch-{number}" for number in range(count)))
        return {dag_id: DagSerialization.to_dict(dag) for dag_id, dag in bag().dags.items()}

    before, after = serialised(80), serialised(84)
    assert {dag_id: after[dag_id] for dag_id in before} == before


def test_a_running_task_builds_and_checks_only_its_own_site(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    import footage

    configure("ho", "makassar", extra=BROKEN)
    asked: list[str | None] = []
    load = footage.load_config
    monkeypatch.setattr(footage, "load_config", lambda path, only=None: asked.append(only) or load(path, only))
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "footage_ho")
    built = [dag.dag_id for shard in range(footage.SHARDS) for dag in footage.footage_dags(shard)]
    assert built == ["footage_ho"]
    assert set(asked) == {"ho"}


def test_a_task_reads_sites_yaml_once_and_of_it_its_own_site(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    import footage
    from vms import config
    from vms_airflow.surroundings import installation

    configure(*(f"branch-{number}" for number in range(50)))
    read: list[int] = []

    def counted(path: Path, only: str | None = None) -> config_yaml.Document:
        document = config_yaml.read_document(path, only)
        read.append(len(document.sites))
        return document

    monkeypatch.setattr(config, "read_document", counted)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "footage_branch-7")
    (dag,) = footage.footage_dags(footage.shard_of("footage_branch-7"))
    _, found, site = installation("branch-7")
    assert (dag.dag_id, found.sites) == ("footage_branch-7", (site,))
    assert read == [1]


def test_a_broken_site_is_found_by_its_task_too(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    import footage

    configure("ho", extra="\n  - id: Head Office\n    footage: /nowhere\n    stores: [nas]\n")
    (dag_id,) = set(bag().dags) - {"footage_ho"}
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
    assert [dag.dag_id for dag in footage.footage_dags(footage.shard_of(dag_id))] == [dag_id]
