"""The `sign_in` section of sites.yaml: the company's identity provider (OpenID Connect), by which people may sign in
to the viewer beside the accounts that were made for them.

What the provider knows this viewer by (client id and secret) lies in secrets/connections.json or in the environment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from vms.config_schema import Names, Section
from vms.config_values import conn_id, did_you_mean
from vms.rights import RIGHTS

_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z", re.IGNORECASE)
_CLAIM = re.compile(r"[A-Za-z0-9_.:/-]{1,100}\Z")
_ANYBODY = ("accounts.google.com",)
"""Providers with which everybody in the world has an account."""


@dataclass(frozen=True)
class SignInPolicy:
    """How people come in by the provider. conn_id: the connection that holds client id and secret.

    label: on the button. name_claim: what of the provider's word is the user's name here. domains: their e-mail
    domains, cut off the name when there is one; empty: any. roles: by role, the groups that have it. default_role: of
    who is in none, "" lets them not in. create: make an account for who has none. everywhere, sees: what such an
    account sees, as (site, camera) ids.
    """

    issuer: str
    conn_id: str
    label: str = ""
    name_claim: str = "preferred_username"
    domains: tuple[str, ...] = ()
    groups_claim: str = "groups"
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default_role: str = ""
    create: bool = False
    everywhere: bool = False
    sees: tuple[tuple[str, str], ...] = ()

    @property
    def is_open_to_the_world(self) -> bool:
        return urlsplit(self.issuer).hostname in _ANYBODY

    def role_of(self, groups: Sequence[str]) -> str:
        """The role of who is in these groups, the one with the most rights first; "" for none."""
        for role in RIGHTS:
            if set(self.roles.get(role, ())) & set(groups):
                return role
        return self.default_role


def is_loopback(host: str) -> bool:
    """Whether this host is the machine itself."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _issuer(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = urlsplit(value)
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not (safe and parts.hostname) or parts.query or parts.fragment or parts.username:
        raise ValueError(
            "allowed is the address of the provider as it names itself (its issuer), with https://, such as"
            " https://login.example.co.id/realms/company."
        )
    if re.search(r"/(common|organizations|consumers)/v2\.0/?$", parts.path):
        raise ValueError(
            "that is Microsoft's address for everybody; allowed is that of your own tenant, with its id in place of"
            ' "common" or "organizations".'
        )
    return value


def _secret(_value: Any) -> Any:
    raise ValueError(
        "it must not stand here: take it out and give the provider's client another secret. Write both into"
        ' secrets/connections.json of the state folder, as {"company_login": {"conn_type": "oidc", "login":'
        ' "<client id>", "password": "<client secret>"}}, and name it here: conn_id: company_login'
    )


def _role(value: Any) -> Any:
    if value not in (None, "none") and value not in RIGHTS:
        near = did_you_mean(str(value), [*RIGHTS, "none"])
        raise ValueError(f"allowed are {', '.join(RIGHTS)} and none.{near}")
    return "" if value in (None, "none") else value


def _roles(value: Any) -> Any:
    for role in value if isinstance(value, dict) else ():
        if role not in RIGHTS:
            raise ValueError(f'found "{role}"; allowed are {", ".join(RIGHTS)}.{did_you_mean(str(role), RIGHTS)}')
    return value


def _domains(value: Any) -> Any:
    some = [value] if isinstance(value, str) else value
    if isinstance(some, list) and not all(isinstance(one, str) and _DOMAIN.match(one) for one in some):
        raise ValueError("allowed are e-mail domains such as example.co.id.")
    return some


def _claim(value: Any) -> Any:
    if isinstance(value, str) and not _CLAIM.match(value):
        raise ValueError("allowed is the name of a claim, such as preferred_username, email or groups.")
    return value


Claim = Annotated[str, BeforeValidator(_claim)]


class SignInSection(Section):
    issuer: Annotated[str, BeforeValidator(_issuer)]
    conn_id: Annotated[str, BeforeValidator(lambda value: conn_id(value) if isinstance(value, str) else value)]
    client_id: Annotated[None, BeforeValidator(_secret)] = None
    client_secret: Annotated[None, BeforeValidator(_secret)] = None
    label: Annotated[str, Field(max_length=40)] = ""
    name_claim: Claim = "preferred_username"
    domains: Annotated[list[str], BeforeValidator(_domains)] = Field(default_factory=list)
    groups_claim: Claim = "groups"
    roles: Annotated[dict[str, Names], BeforeValidator(_roles)] = Field(default_factory=dict)
    default_role: Annotated[str, BeforeValidator(_role)] = ""
    create: bool = False
    sees: Names | None = None

    @model_validator(mode="after")
    def _whole(self) -> SignInSection:
        if self.create and not self.roles and not self.default_role:
            raise ValueError("create makes accounts, but neither roles nor default_role says with which role.")
        if SignInPolicy(self.issuer, self.conn_id).is_open_to_the_world and not self.domains:
            raise ValueError("everybody has an account with this provider; say whose: domains: [example.co.id]")
        return self


def sign_in_policy(section: SignInSection) -> SignInPolicy:
    """The policy that the section says."""
    sees = section.sees or []
    split = [one.partition("/") for one in sees if one != "everywhere"]
    return SignInPolicy(
        issuer=section.issuer,
        conn_id=section.conn_id,
        label=section.label,
        name_claim=section.name_claim,
        domains=tuple(one.lower() for one in section.domains),
        groups_claim=section.groups_claim,
        roles={role: tuple(groups) for role, groups in section.roles.items()},
        default_role=section.default_role,
        create=section.create,
        everywhere="everywhere" in sees,
        sees=tuple((site, camera) for site, _, camera in split),
    )
