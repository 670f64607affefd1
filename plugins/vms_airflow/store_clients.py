"""In tasks, the clients of S3 and Google Cloud stores come from Airflow's hooks.

So a task may use what only Airflow offers (connections kept in its database or in a secrets backend, assumed roles),
while the command line and the viewer build theirs from the same definition without it.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.exceptions import AirflowException

from vms.errors import StoreDenied
from vms.stores.connections import how_to_define, in_file, use_clients


def use_hooks() -> None:
    """Let every store that this process opens from now on be reached through Airflow's hooks."""
    use_clients("s3", _s3)
    use_clients("gs", _gs)


def _s3(conn_id: str) -> Any:
    from vms.stores.s3_client import client_config, make_client

    if not conn_id:
        return make_client(conn_id)
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=conn_id)
    try:
        hook.get_connection(conn_id)  # else the hook goes on without it, with other rights and to another server
        known = hook.conn_config
        own_server = known.get_service_endpoint_url("s3") is not None
        config = client_config(known.extra_config.get("config_kwargs") or {}, own_server=own_server)
        return hook.get_client_type(region_name=known.region_name or "us-east-1", config=config)
    except (AirflowException, ValueError, TypeError) as error:
        raise _unusable(conn_id, error) from None


def _gs(conn_id: str) -> Any:
    from vms.stores.gcs_client import make_client

    if not conn_id:
        return make_client(conn_id)
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

    try:
        return GCSHook(gcp_conn_id=conn_id).get_conn()
    except (AirflowException, ValueError, TypeError) as error:
        raise _unusable(conn_id, error) from None


def _unusable(conn_id: str, error: Exception) -> StoreDenied:
    """Without what the hook says: it may quote the secret. A file of connections that Airflow had to skip is named."""
    try:
        in_file(conn_id)
    except StoreDenied as skipped:
        return skipped
    return StoreDenied(
        f"The connection {conn_id} is not defined in Airflow or can't be used ({type(error).__name__}).",
        f"{how_to_define(conn_id)} Tasks also know what is defined in Airflow itself.",
    )
