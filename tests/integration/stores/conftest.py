"""The servers that stores are tested against, one of each for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import gcs_server
import pytest


@pytest.fixture(scope="session")
def _gcs_server() -> Iterator[gcs_server.GcsServer]:
    with gcs_server.run_gcs() as server:
        yield server


@pytest.fixture
def gcs(_gcs_server: gcs_server.GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[gcs_server.GcsServer]:
    """The server with its bucket, without faults, and a connection to it that is called `test_gs`."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _gcs_server.endpoint)
    monkeypatch.setenv("AIRFLOW_CONN_TEST_GS", gcs_server.CONNECTION)
    _gcs_server.wipe()
    _gcs_server.make_bucket()
    _gcs_server.seen.clear()
    yield _gcs_server
    _gcs_server.heal()
