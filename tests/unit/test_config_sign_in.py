"""The sign_in section of sites.yaml: what it may say, that no secret in it is repeated, and who gets which role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vms.config import Config, load_config
from vms.config_sign_in import SignInPolicy

SITES = "sites:\n- id: ho\n  time_zone: WIB\n  footage: /footage/ho\n"
RIGHT = "sign_in:\n  issuer: https://login.example.co.id/realms/company\n  conn_id: company_login\n"
Told = Callable[[str], Config]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    def load(text: str) -> Config:
        monkeypatch.setenv("VMS_HOME", str(tmp_path))
        path = tmp_path / "sites.yaml"
        path.write_text(text + SITES)
        return load_config(path)

    return load


def test_without_the_section_there_is_no_provider(told: Told) -> None:
    assert told("").sign_in is None


def test_all_keys_are_read(told: Told) -> None:
    config = told(
        f"{RIGHT}  label: Akun kantor\n  name_claim: email\n  domains: Example.co.id\n  groups_claim: roles\n"
        "  create: true\n  default_role: viewer\n  roles:\n    administrator: boss\n    auditor: [audit, tax]\n"
        "  sees: [ho, makassar/lobby]\n"
    )
    assert config.errors == ()
    assert config.sign_in == SignInPolicy(
        issuer="https://login.example.co.id/realms/company",
        conn_id="company_login",
        label="Akun kantor",
        name_claim="email",
        domains=("example.co.id",),
        groups_claim="roles",
        roles={"administrator": ("boss",), "auditor": ("audit", "tax")},
        default_role="viewer",
        create=True,
        sees=(("ho", ""), ("makassar", "lobby")),
    )
    everywhere = told(f"{RIGHT}  default_role: none\n  sees: everywhere\n").sign_in
    assert everywhere
    assert (everywhere.everywhere, everywhere.sees, everywhere.default_role) == (True, (), "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RIGHT.replace("https", "http"), "its issuer), with https://"),
        (RIGHT.replace("https://", ""), "its issuer), with https://"),
        (RIGHT.replace("login.example", "name:SECRET@login.example"), "its issuer), with https://"),
        (f"{RIGHT}  client_secret: SECRET\n", "must not stand here"),
        (f"{RIGHT}  client_id: SECRET\n", "must not stand here"),
        (RIGHT.replace("company_login", '"{SECRET}"'), "the name of a connection"),
        (f"{RIGHT}  roles: {{investigater: x}}\n", 'Did you mean "investigator"?'),
        (f"{RIGHT}  default_role: nobody\n", "allowed are administrator, investigator, viewer, auditor and none"),
        (f"{RIGHT}  create: true\n", "neither roles nor default_role"),
        (f"{RIGHT}  create: sometimes\n", "allowed is true or false"),
        (f"{RIGHT}  domains: ['@example']\n", "e-mail domains"),
        (f"{RIGHT}  groups: x\n", 'unknown key "groups"'),
        (RIGHT.replace("login.example.co.id/realms/company", "accounts.google.com"), "everybody has an account"),
        (
            RIGHT.replace("login.example.co.id/realms/company", "login.microsoftonline.com/common/v2.0"),
            "your own tenant",
        ),
        ("sign_in: {}\n", "this key is missing"),
        ("sign_in: yes\n", "allowed are keys"),
    ],
)
def test_a_mistake_is_told_and_nobody_comes_in_by_it(told: Told, text: str, words: str) -> None:
    config = told(text)
    (error,) = config.errors
    assert error.id == ""
    assert words in error.message
    assert "SECRET" not in error.message
    assert config.sign_in is None
    assert [site.id for site in config.sites] == ["ho"]


def test_of_several_groups_the_one_with_the_most_rights_counts() -> None:
    roles = {"viewer": ("all",), "auditor": ("audit",), "administrator": ("boss",), "investigator": ("security",)}
    policy = SignInPolicy("https://x", "c", roles=roles)
    assert policy.role_of(["all", "boss", "audit"]) == "administrator"
    assert policy.role_of(["audit", "all"]) == "viewer"
    assert policy.role_of(["Boss", ""]) == ""
