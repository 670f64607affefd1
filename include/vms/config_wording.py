"""How a mistake in sites.yaml is told: what was found, what is allowed, the nearest valid word."""

from __future__ import annotations

import re
from typing import Any

from vms import config_schema as schema
from vms.config_values import did_you_mean

_PASSWORD = re.compile(r"://[^/@]*@")  # must not end up in a log


def explain(detail: Any, kind: type[schema.Section]) -> str:
    """One pydantic error in our words: what was found, what is allowed, the nearest valid word."""
    code, loc, found = detail["type"], detail["loc"], detail["input"]
    context = detail.get("ctx", {})
    shown = f"found {found_text(found)}"
    if "://" in str(found) and "url" not in loc and kind.__name__ == "AlertsSection":
        shown = "found an address"  # which holds a secret
    if code == "extra_forbidden":
        owner: type[schema.Section] = schema.CameraSection if "cameras" in loc[:-1] else kind
        return unknown_key(str(loc[-1]), owner.model_fields)
    if code == "missing":
        return "this key is missing."
    if code == "value_error":
        secret = (
            loc[-1:] in (("url",), ("conn_id",), ("client_id",), ("client_secret",)) or "targets" in loc
        )  # a password must not end up in a log
        return f"{context['error']}" if secret else f"{shown}; {context['error']}"
    if code == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        near = did_you_mean(found, words) if isinstance(found, str) else ""
        return f"{shown}; allowed are {', '.join(words)}.{near}"
    if code.startswith("bool"):
        return f"{shown}; allowed is true or false."
    if code in ("greater_than_equal", "less_than_equal", "int_parsing", "int_type", "int_from_float"):
        return f"{shown}; allowed is a whole number from 0 to 63."
    if code in ("model_type", "model_attributes_type", "dict_type"):
        return f"{shown}; allowed are keys, each with its value: {', '.join(kind.model_fields)}."
    if code in ("list_type", "too_short"):
        return f"{shown}; allowed is a list with at least one name."
    if code in ("string_type", "path_type") and not isinstance(found, str):
        return f"{shown}; allowed is a text."
    return f"{shown}; {detail['msg'][:1].lower()}{detail['msg'][1:]}."


def unknown_key(key: str, known: Any) -> str:
    names = list(known)
    return f'unknown key "{key}"; allowed are {", ".join(names)}.{did_you_mean(key, names)}'


def found_text(value: Any) -> str:
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "nothing" if value is None else f'"{_PASSWORD.sub("://***@", str(value))}"'
