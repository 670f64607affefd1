"""What sites.yaml says of exports."""

from __future__ import annotations

from vms.config import load_config
from vms.config_model import ExportPolicy
from vms.errors import ConfigError
from vms.home import Home


def policy_of(home: Home) -> ExportPolicy:
    """How long they are kept and how large they may be; the defaults while sites.yaml can't be read."""
    try:
        return load_config(home.sites_file).exports
    except ConfigError:
        return ExportPolicy()
