"""The `openlineage` section of sites.yaml: a lineage service that is told what was archived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator

from vms.config_schema import Section
from vms.config_values import conn_id as a_connection


@dataclass(frozen=True)
class OpenLineagePolicy:
    """Where to tell it. conn_id: the connection whose password is the service's key, "" for none. namespace: of the
    jobs and of what lies on site, "" for the company's name."""

    url: str
    conn_id: str = ""
    endpoint: str = "api/v1/lineage"
    namespace: str = ""


class OpenLineageSection(Section):
    url: str
    conn_id: Annotated[str, BeforeValidator(a_connection)] = ""
    endpoint: Annotated[str, Field(min_length=1)] = "api/v1/lineage"
    namespace: str = ""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("allowed is http:// or https:// and a host.")
        if parts.username or parts.password:
            raise ValueError("a password does not belong here: put the key into a connection and name it (conn_id).")
        return value
