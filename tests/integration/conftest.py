"""A real S3 server for every test that stores in a bucket, one for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import weed


@pytest.fixture(scope="session")
def s3_server() -> Iterator[weed.S3Server]:
    program = weed.binary()
    if program is None:
        pytest.skip("there is no weed (SeaweedFS) here: install requirements-dev.txt")
    with weed.run_weed(program) as server:
        yield server
