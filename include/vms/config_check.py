"""Turns the sections of sites.yaml into `Config`: every mistake with its place, each site on its own.

A mistake in a site leaves out that site only. A mistake in defaults, a store, a profile or a pattern leaves out the
sites that use it; if none does, it is reported beside the sites.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from vms import config_schema as schema
from vms.config_alerts import AlertPolicy, AlertsSection, alert_mistakes, alert_policy
from vms.config_model import (
    BackupPolicy,
    Config,
    ExportPolicy,
    HistoryPolicy,
    RetentionPolicy,
    Site,
    SiteError,
)
from vms.config_named import Names
from vms.config_openlineage import OpenLineagePolicy, OpenLineageSection
from vms.config_retention import too_long_retentions
from vms.config_sections import Sections
from vms.config_sign_in import SignInPolicy, SignInSection, sign_in_policy
from vms.config_sites import SiteCheck, defaults_of
from vms.config_values import did_you_mean
from vms.config_wording import found_text, unknown_key
from vms.config_yaml import Document, Located, Mistake
from vms.errors import ConfigError

TOP_KEYS = (
    "company",
    "defaults",
    "stores",
    "profiles",
    "patterns",
    "retention_policy",
    "backup",
    "exports",
    "history",
    "alerts",
    "sign_in",
    "openlineage",
    "sites",
)


def check_document(document: Document, home: Path, only_site: str | None = None, *, of_newer: bool = False) -> Config:
    """The configuration that the document says. home is what ${VMS_HOME} stands for.

    only_site: check that site alone. of_newer: leave out keys that are not known. Raises ConfigError only when
    there is no `sites` at all.
    """
    if "sites" not in document.top.data:
        near = did_you_mean("sites", document.top.data)
        raise ConfigError(f'{document.path}: the key "sites" is missing.{near}', 'List your sites below "sites:".')
    return _Check(document, home, of_newer).config(only_site)


class _Check:
    """One document while it is being checked."""

    def __init__(self, document: Document, home: Path, of_newer: bool) -> None:
        self.document = document
        self.sections = Sections(document, home, of_newer)
        self.ids = [_id_of(one) for one in document.sites]
        self.defaults = defaults_of(self.sections, self._top_keys())
        of = self.sections
        self.retention_policy = of.policy("retention_policy", schema.RetentionPolicySection, RetentionPolicy)
        self.backup = of.policy("backup", schema.BackupSection, BackupPolicy)
        self.exports = of.policy("exports", schema.ExportsSection, ExportPolicy)
        self.history = of.policy("history", schema.HistorySection, HistoryPolicy)
        self.alerts = self._alerts()
        self.sign_in = self._sign_in()
        self.openlineage = self._openlineage()
        self.names = Names(of)

    def config(self, only_site: str | None) -> Config:
        sites, errors = self._sites(only_site)
        if only_site is None:
            self._beside_the_sites(sites)
            if self.sections.beside:
                errors.append(SiteError("", self._report("", self.sections.beside)))
        return Config(
            company=self._company(),
            sites=tuple(sites),
            stores=tuple(self.names.stores.right.values()),
            profiles=tuple(self.names.profiles.right.values()),
            patterns=tuple(self.names.patterns.right.values()),
            errors=tuple(errors),
            retention_policy=self.retention_policy,
            backup=self.backup,
            exports=self.exports,
            history=self.history,
            alerts=self.alerts,
            sign_in=self.sign_in,
            openlineage=self.openlineage,
            unknown=tuple(dict.fromkeys(self.sections.unknown)),
        )

    def _sites(self, only_site: str | None) -> tuple[list[Site], list[SiteError]]:
        sites: list[Site] = []
        errors: list[SiteError] = []
        repeated = {one for one, count in Counter(self.ids).items() if one and count > 1}
        for number, (located, site_id) in enumerate(zip(self.document.sites, self.ids, strict=True)):
            if only_site is not None and site_id != only_site:
                continue
            if site_id in repeated:
                if self.ids.index(site_id) == number:
                    errors.append(self._repeated(site_id))
                continue
            check = SiteCheck(self.sections, self.names, self.defaults, located)
            site = check.site()
            if site is not None:
                sites.append(site)
            else:
                report = self._report(_title(site_id, number), check.mistakes)
                errors.append(SiteError(_error_id(site_id, number, self.ids), report))
        return sites, errors

    def _company(self) -> str:
        located = self.sections.given("company")
        return located.data.strip() if located is not None and isinstance(located.data, str) else ""

    def _top_keys(self) -> list[Mistake]:
        """The mistakes that leave out every site; others are told beside them."""
        for_all: list[Mistake] = []
        company = self.document.sections.get("company")
        if company is not None and isinstance(company.data, (list, dict)):
            self.sections.beside.append(
                Mistake(*company.place(()), f"company: found {found_text(company.data)}; allowed is a text.")
            )
        for key in self.document.top.data:
            if key not in TOP_KEYS and self.sections.of_newer:
                self.sections.unknown.append(key)
            elif key not in TOP_KEYS:
                place = self.document.top.place((key,), key=True)
                mistake = Mistake(*place, unknown_key(key, TOP_KEYS), (key,))
                meant_defaults = '"defaults"' in did_you_mean(key, TOP_KEYS)
                (for_all if meant_defaults else self.sections.beside).append(mistake)
        return for_all

    def _alerts(self) -> AlertPolicy:
        """A mistake is told beside the sites, and whoever sends alerts refuses to work with it."""
        located = self.sections.given("alerts")
        if located is None:
            return AlertPolicy()
        section, mistakes = self.sections.validate(AlertsSection, located, "alerts")
        zone = self.defaults.section.time_zone
        policy = alert_policy(section, zone) if section is not None else AlertPolicy()
        mistakes.extend(alert_mistakes(located, policy, self.ids))
        self.sections.beside.extend(mistakes)
        return AlertPolicy(wrong=True) if mistakes else policy

    def _sign_in(self) -> SignInPolicy | None:
        """After a mistake nobody gets in by the provider until it is mended."""
        section = self.sections.right("sign_in", SignInSection)
        return None if section is None else sign_in_policy(section)

    def _openlineage(self) -> OpenLineagePolicy | None:
        """After a mistake nobody is told until it is mended."""
        section = self.sections.right("openlineage", OpenLineageSection)
        return None if section is None else OpenLineagePolicy(**section.model_dump())

    def _beside_the_sites(self, sites: list[Site]) -> None:
        beside = self.sections.beside
        beside.extend(self.names.unused())
        if not self.document.sites:
            for mistakes_of_key in self.defaults.by_key.values():
                beside.extend(mistakes_of_key)
            beside.extend(self.defaults.for_all)
        beside.extend(too_long_retentions(self.document.sections.get("stores"), self.names.stores.right, sites))

    def _repeated(self, site_id: str) -> SiteError:
        mistakes = [
            Mistake(*located.place(("id",)), f'the id "{site_id}" is given to more than one site; each needs its own.')
            for located, one in zip(self.document.sites, self.ids, strict=True)
            if one == site_id
        ]
        return SiteError(site_id, self._report(f'site "{site_id}"', mistakes))

    def _report(self, title: str, mistakes: list[Mistake]) -> str:
        lines = dict.fromkeys(
            f"{self.document.path}:{one.line}:{one.column}: {f'{title}: ' if title else ''}{one.text}"
            for one in sorted(mistakes, key=lambda one: (one.line, one.column))
        )
        return "\n".join(lines)


def _id_of(located: Located) -> str:
    value = located.data.get("id") if isinstance(located.data, dict) else None
    return value if isinstance(value, str) else ""


def _title(site_id: str, number: int) -> str:
    return f'site "{site_id}"' if site_id else f"site number {number + 1}"


def _error_id(site_id: str, number: int, ids: list[str]) -> str:
    """An id under which a broken site can be shown: its own where that is one, else made from it or its position."""
    slug = re.sub(r"[^a-z0-9]+", "-", site_id.lower()).strip("-")[:40].strip("-")
    if slug == site_id or (slug and slug not in ids):
        return slug or f"site-{number + 1}"
    return f"site-{number + 1}"
