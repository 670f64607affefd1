"""The worker of benchmarks/fleet.py: the product's own, as its container runs it, with the DAGs of the benchmark."""

from __future__ import annotations

import os
import sys

from vms.home import from_environment
from vms.stack import container_worker

if __name__ == "__main__":
    sys.exit(container_worker.work(from_environment(), dict(os.environ)))
