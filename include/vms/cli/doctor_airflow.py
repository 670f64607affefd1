"""What `vms doctor` finds about Airflow and the catalogue behind it: parts without a sign of life, DAGs that can't be
read, runs that ended red, and a schema that is not the program's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from vms.airflow_api import AirflowApi
from vms.catalogue import migrate, whole
from vms.catalogue.connection import connect, url
from vms.cli.doctor_finding import Finding
from vms.errors import VmsError
from vms.home import Home
from vms.stack.fleet_settings import outgrown
from vms.stack.health import AirflowHealth

_RUNS = 100


def airflow(group: str, home: Home) -> Iterator[Finding]:
    """Only while the system runs. In containers the parts themselves are told of elsewhere."""
    well = AirflowHealth(home, since=time.time() - 120)
    for part in () if home.parts else ("scheduler", "dag_processor"):
        ok = well.is_well(part)
        words = f"Airflow's {part.replace('_', ' ')} {'works' if ok else 'gives no sign of life'}."
        yield Finding(group, ok, words, "" if ok else f"Look into {home.logs}; ./vms down and ./vms up restart it.")
    try:
        with AirflowApi(home) as api:
            errors, runs = api.import_errors(), api.recent_runs(_RUNS)
    except VmsError as error:
        yield Finding(group, False, error.message, error.remedy)
        return
    for name, why in errors.items():
        yield Finding(group, False, f"Airflow can't read {name}: {why}", "./vms sites check; then look at the file.")
    last = {run.dag_id: run for run in reversed(runs) if not run.active}
    for dag, run in sorted(last.items()):
        if run.state == "failed":
            remedy = f"Look at it in Airflow ({dag}), or collect what is known: ./vms support-bundle"
            yield Finding(group, False, f"The last run of {dag} failed ({run.run_id}).", remedy)
    if last and all(run.state != "failed" for run in last.values()):
        yield Finding(group, True, f"The last runs of {len(last)} DAGs ended well.")


def fleet(group: str, home: Home) -> Iterator[Finding]:
    """Whether the parts were started for about as many sites as there are. Only while the system runs."""
    if parts := outgrown(home):
        how = f"Outside: docker compose restart {' '.join(parts)}" if home.parts else "./vms down, then ./vms up"
        words = f"There are far more sites than when Airflow was started ({', '.join(parts)}), which goes by fewer."
        yield Finding(group, False, words, f"{how}; all works until then, only slower.")


def schema(group: str, home: Home) -> Iterator[Finding]:
    """Whether the catalogue is of this program's version; nothing while it can't be asked."""
    try:
        with contextlib.closing(connect(url(home, "viewer"))) as conn:
            found = whole.revision(conn)
    except VmsError:
        return
    ok = found == migrate.newest()
    words = f"The catalogue's schema is {found or 'not made yet'}"
    words += "." if ok else f", this program's is {migrate.newest()}."
    how = "Outside: docker compose up --build -d"
    if not home.parts:
        how = "Restart with this program: ./vms down, then ./vms up."
    yield Finding(group, ok, words, "" if ok else how)
