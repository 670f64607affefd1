"""A branch's edge worker for benchmarks/fleet.py, as `vms_airflow.branch_worker` runs it, but for the line: it says
itself who it is, as the branches' proxy would say it. Used with an environment that has no certificates.

    python fleet_branch.py QUEUE NAME PLACES
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from vms_airflow import branch_worker

if __name__ == "__main__":
    real = branch_worker.request
    proxy, site, serial = (os.environ[f"VMS_FLEET_{name}"] for name in ("PROXY", "SITE", "SERIAL"))
    said = {"Proxy": proxy, "Verify": "SUCCESS", "Serial": serial, "Name": site}

    @asynccontextmanager
    async def request(method: str, **kwargs: Any) -> AsyncIterator[Any]:
        headers = dict(kwargs.pop("headers", {})) | {f"X-VMS-Branch-{name}": value for name, value in said.items()}
        async with real(method, headers=headers, **kwargs) as answer:
            yield answer

    branch_worker.request = request
    branch_worker.main(*sys.argv[1:4])
