"""How long Airflow's DAG files take to read, each in its own process as the DAG processor does it: one JSON object.

Started by benchmarks/fleet.py with an Airflow's environment: python fleet_parse.py SITE
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(site: str) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    import vms.config
    import vms_airflow.tasks  # noqa: F401 - the DAG processor has imported what the files import, too
    from footage import PREFIX, shard_of
    from vms.home import from_environment

    shards = sorted((Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / "footage_shards").glob("*.py"))
    sites_file = from_environment().sites_file

    def read(shard: Path) -> dict[str, Any]:
        cpu, wall = time.process_time(), time.monotonic()
        bag = DagBag(str(shard))
        parsed_cpu, parsed_wall = time.process_time() - cpu, time.monotonic() - wall
        assert not bag.import_errors, bag.import_errors
        cpu = time.process_time()
        size = sum(len(json.dumps(DagSerialization.to_dict(dag))) for dag in bag.dags.values())
        return {
            "dags": len(bag.dags),
            "parse_cpu_s": parsed_cpu,
            "parse_wall_s": parsed_wall,
            "serialise_cpu_s": time.process_time() - cpu,
            "bytes": size,
            "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        }

    def task_build() -> dict[str, Any]:
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = PREFIX + site
        os.environ["_AIRFLOW_PARSING_CONTEXT_TASK_ID"] = "sense"
        shard = next(one for one in shards if one.stem == f"shard_{shard_of(PREFIX + site)}")
        cpu = time.process_time()
        bag = DagBag(str(shard))
        built_cpu = time.process_time() - cpu
        return {"dags": len(bag.dags), "cpu_s": built_cpu, "config_one_cpu_s": config(site)}

    def config(only: str | None) -> float:
        vms.config._loaded.clear()
        cpu = time.process_time()
        vms.config.load_config(sites_file, only)
        return time.process_time() - cpu

    result = {
        "shards": [_apart(lambda shard=shard: read(shard)) for shard in shards],
        "task": _apart(task_build),
        "config_all_cpu_s": _apart(lambda: config(None)),
    }
    print("RESULT " + json.dumps(result))


def _apart(work: Callable[[], Any]) -> Any:
    """Its answer, from a process that starts with all imports done."""
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            with os.fdopen(writing, "w") as out:
                json.dump(work(), out)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text)


if __name__ == "__main__":
    main(sys.argv[1])
