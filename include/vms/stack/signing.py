"""The key by which the centre signs who may do what in Airflow's APIs: people's sessions and running tasks.

Airflow's own way is one secret that signs and checks everything, requests of edge workers included. A branch has to
have that secret, so here it counts for edge workers alone: everything else is signed by a key that no branch has.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from vms.home import Home

SIGNERS = frozenset({"api-server", "scheduler"})
"""The parts that sign or check; no other needs the key."""


def key_file(home: Home, folder: Path | None = None) -> Path:
    """The key as a file for Airflow. folder: by default one of this container alone, not the state that all share."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = hashlib.sha256(home.secret("airflow_key", 48).encode()).digest()
    path = (folder or Path(tempfile.gettempdir())) / "airflow-signing-key.pem"
    text = Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(text)
    return path
