"""Airflow knows the connections of secrets/connections.json, too: a secrets backend over the one reader of that file.

Airflow's own LocalFilesystemBackend is not used: it would win over AIRFLOW_CONN_<ID>, so that task and command line
could reach a store as two different users; one wrong entry makes it lose all others; and it takes a file that anyone
can read.
"""

from __future__ import annotations

import os

from airflow.secrets.base_secrets import BaseSecretsBackend


class ConnectionsFile(BaseSecretsBackend):
    """Asked by Airflow before its other sources. The file is read anew each time, so a change counts at once."""

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:  # noqa: ARG002 - its interface
        """What the file says, JSON or URI; None when it says nothing or the environment defines this connection.

        Raises StoreDenied when the file is unusable; Airflow then asks its other sources.
        """
        from vms.stores.connections import in_file, variable  # every Airflow process loads this module as it starts

        if os.environ.get(variable(conn_id), "").strip():
            return None
        return in_file(conn_id) or None
