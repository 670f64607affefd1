"""Turns the sections of sites.yaml into `Config`: every mistake with its place, each site on its own.

A mistake in a site leaves out that site only. A mistake in defaults, a store, a profile or a pattern leaves out the
sites that use it; if none does, it is reported beside the sites.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from vms import config_schema as schema
from vms.config_alerts import AlertPolicy, AlertsSection, alert_mistakes, alert_policy
from vms.config_model import (
    FALLBACK_AFTER,
    GAP_TOLERANCE,
    BackupPolicy,
    CameraConfig,
    Config,
    ExportPolicy,
    HistoryPolicy,
    NamePattern,
    Profile,
    RetentionPolicy,
    Site,
    SiteError,
    StoreConfig,
)
from vms.config_openlineage import OpenLineagePolicy, OpenLineageSection
from vms.config_retention import too_long_retentions
from vms.config_sign_in import SignInPolicy, SignInSection, sign_in_policy
from vms.config_stores import OptionMistake, browsers, lock_outlasts, store_options
from vms.config_values import did_you_mean, store_folder, store_url
from vms.config_wording import explain, found_text, unknown_key
from vms.config_yaml import Document, Located, Mistake, Where
from vms.errors import ConfigError
from vms.recorders import built_in_pattern_names
from vms.uplink import UNLIMITED

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

BUILT_IN_PROFILES = {
    "av1": Profile("av1", "av1", "9", 36, 16.0, "yuv420p"),
    "h264-seed": Profile("h264-seed", "h264", "medium", 28, 16.0, "yuv420p"),
    "copy": Profile("copy", "copy", "", 0, 16.0, "yuv420p"),
}
"""The names every sites.yaml may use without defining them; a profile of the same name in the file replaces one."""

RETENTION = timedelta(days=180)
EVERY = timedelta(minutes=10)

_PRESETS = {
    "av1": [str(number) for number in range(14)],
    "h264": ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"],
}
_DEFAULT_CRF = {"av1": 36, "h264": 28}
_DEFAULT_PRESET = {"av1": "9", "h264": "medium"}

T = TypeVar("T")
S = TypeVar("S", bound=schema.Section)
Policy = TypeVar("Policy")


@dataclass(frozen=True)
class _Named(Generic[T]):
    """The entries of stores, profiles or patterns: those that are right, and the mistakes of those that are not."""

    right: dict[str, T]
    wrong: dict[str, tuple[Mistake, ...]]


def check_document(document: Document, home: Path, only_site: str | None = None) -> Config:
    """The configuration that the document says. home is what ${VMS_HOME} stands for.

    only_site: check that site alone. Raises ConfigError only when there is no `sites` at all.
    """
    if "sites" not in document.top.data:
        near = did_you_mean("sites", document.top.data)
        raise ConfigError(f'{document.path}: the key "sites" is missing.{near}', 'List your sites below "sites:".')
    return _Check(document, home).config(only_site)


class _Check:
    """One document while it is being checked."""

    def __init__(self, document: Document, home: Path) -> None:
        self.path = document.path
        self.document = document
        self.context = {"home": home}
        self.beside: list[Mistake] = []  # mistakes that belong to no site
        self.for_all: list[Mistake] = []  # mistakes in defaults that every site inherits
        self.used: set[tuple[str, str]] = set()
        self._top_keys()
        self.defaults, self.default_mistakes = self._defaults()
        self.policy = self._policy()
        self.backup = self._section("backup", schema.BackupSection, BackupPolicy)
        self.exports = self._section("exports", schema.ExportsSection, ExportPolicy)
        self.history = self._section("history", schema.HistorySection, HistoryPolicy)
        self.alerts = self._alerts()
        self.sign_in = self._sign_in()
        self.openlineage = self._openlineage()
        self.stores = self._named("stores", schema.StoreSection, _store)
        if "stores" not in document.sections or document.sections["stores"].data is None:
            self.stores.right["nas"] = StoreConfig("nas", store_url("file://${VMS_HOME}/nas", home))
        self._stores_apart()
        self.profiles = self._named("profiles", schema.ProfileSection, _profile)
        for name, profile in BUILT_IN_PROFILES.items():
            if name not in self.profiles.wrong:
                self.profiles.right.setdefault(name, profile)
        self.patterns = self._named(
            "patterns", schema.PatternSection, lambda name, s: NamePattern(name, s.regex, s.time_is, s.zone)
        )

    def config(self, only_site: str | None) -> Config:
        sites: list[Site] = []
        errors: list[SiteError] = []
        ids = [_id_of(one) for one in self.document.sites]
        repeated = {one for one, count in Counter(ids).items() if one and count > 1}
        for number, (located, site_id) in enumerate(zip(self.document.sites, ids, strict=True)):
            if only_site is not None and site_id != only_site:
                continue
            if site_id in repeated:
                if ids.index(site_id) == number:
                    errors.append(self._repeated(site_id, ids))
                continue
            site, mistakes = self._site(located)
            if site is not None and not mistakes:
                sites.append(site)
            else:
                errors.append(
                    SiteError(_error_id(site_id, number, ids), self._report(_title(site_id, number), mistakes))
                )
        if only_site is None:
            self._unused()
            self.beside.extend(too_long_retentions(self.document.sections.get("stores"), self.stores.right, sites))
            if self.beside:
                errors.append(SiteError("", self._report("", self.beside)))
        return Config(
            company=self._company(),
            sites=tuple(sites),
            stores=tuple(self.stores.right.values()),
            profiles=tuple(self.profiles.right.values()),
            patterns=tuple(self.patterns.right.values()),
            errors=tuple(errors),
            retention_policy=self.policy,
            backup=self.backup,
            exports=self.exports,
            history=self.history,
            alerts=self.alerts,
            sign_in=self.sign_in,
            openlineage=self.openlineage,
        )

    def _company(self) -> str:
        located = self.document.sections.get("company")
        if located is None or located.data is None:
            return ""
        return located.data.strip() if isinstance(located.data, str) else ""

    def _top_keys(self) -> None:
        company = self.document.sections.get("company")
        if company is not None and isinstance(company.data, (list, dict)):
            self.beside.append(
                Mistake(*company.place(()), f"company: found {found_text(company.data)}; allowed is a text.")
            )
        for key in self.document.top.data:
            if key not in TOP_KEYS:
                place = self.document.top.place((key,), key=True)
                mistake = Mistake(*place, unknown_key(key, TOP_KEYS), (key,))
                meant_defaults = '"defaults"' in did_you_mean(key, TOP_KEYS)
                (self.for_all if meant_defaults else self.beside).append(mistake)

    def _defaults(self) -> tuple[schema.DefaultsSection, dict[str, list[Mistake]]]:
        """The defaults that are right, and the mistakes of each key that is not."""
        located = self.document.sections.get("defaults")
        if located is None or located.data is None:
            return schema.DefaultsSection(), {}
        section, mistakes = self._validate(schema.DefaultsSection, located, "defaults")
        by_key: dict[str, list[Mistake]] = {}
        for mistake in mistakes:
            key = str(mistake.where[0]) if mistake.where else ""
            if key in schema.DefaultsSection.model_fields and mistake not in located.mistakes:
                by_key.setdefault(key, []).append(mistake)
            else:
                self.for_all.append(mistake)
        if section is None and isinstance(located.data, dict):
            kept = {
                key: value
                for key, value in located.data.items()
                if key in schema.DefaultsSection.model_fields and key not in by_key
            }
            section = schema.DefaultsSection.model_validate(kept, context=self.context)
        return section or schema.DefaultsSection(), by_key

    def _policy(self) -> RetentionPolicy:
        """What is not said has its default. A mistake is told beside the sites, and purging refuses to work with it."""
        located = self.document.sections.get("retention_policy")
        if located is None or located.data is None:
            return RetentionPolicy()
        section, mistakes = self._validate(schema.RetentionPolicySection, located, "retention_policy")
        self.beside.extend(mistakes)
        given = section.model_dump(exclude_none=True) if section is not None else {}
        return RetentionPolicy(**given)

    def _section(self, key: str, form: type[schema.Section], policy: type[Policy]) -> Policy:
        """What is not said has its default. A mistake is told beside the sites, and work goes on by the defaults."""
        located = self.document.sections.get(key)
        if located is None or located.data is None:
            return policy()
        section, mistakes = self._validate(form, located, key)
        self.beside.extend(mistakes)
        return policy(**(section.model_dump(exclude_none=True) if section is not None else {}))

    def _alerts(self) -> AlertPolicy:
        """A mistake is told beside the sites, and whoever sends alerts refuses to work with it."""
        located = self.document.sections.get("alerts")
        if located is None or located.data is None:
            return AlertPolicy()
        section, mistakes = self._validate(AlertsSection, located, "alerts")
        policy = alert_policy(section, self.defaults.time_zone) if section is not None else AlertPolicy()
        mistakes.extend(alert_mistakes(located, policy, [_id_of(one) for one in self.document.sites]))
        self.beside.extend(mistakes)
        return AlertPolicy(wrong=True) if mistakes else policy

    def _sign_in(self) -> SignInPolicy | None:
        """A mistake is told beside the sites, and nobody gets in by the provider until it is mended."""
        located = self.document.sections.get("sign_in")
        if located is None or located.data is None:
            return None
        section, mistakes = self._validate(SignInSection, located, "sign_in")
        self.beside.extend(mistakes)
        return sign_in_policy(section) if section is not None and not mistakes else None

    def _openlineage(self) -> OpenLineagePolicy | None:
        """A mistake is told beside the sites, and nobody is told until it is mended."""
        located = self.document.sections.get("openlineage")
        if located is None or located.data is None:
            return None
        section, mistakes = self._validate(OpenLineageSection, located, "openlineage")
        self.beside.extend(mistakes)
        return OpenLineagePolicy(**section.model_dump()) if section is not None and not mistakes else None

    def _named(self, section: str, kind: type[S], make: Any) -> _Named[Any]:
        named: _Named[Any] = _Named({}, {})
        located = self.document.sections.get(section)
        if located is None or located.data is None:
            return named
        if not isinstance(located.data, dict):
            text = f"{section}: found {found_text(located.data)}; allowed is a name for each, with its keys below."
            self.beside.append(Mistake(*located.place(()), text))
            return named
        self.beside.extend(mistake for mistake in located.mistakes if len(mistake.where) < 2)
        for name in located.data:
            value, mistakes = self._validate(kind, located, section, (name,))
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
                text = f'{section}: the name "{name}" is not allowed; take up to 40 letters, digits, - and _.'
                mistakes.append(Mistake(*located.place((name,), key=True), text))
            if value is not None and not mistakes:
                try:
                    named.right[name] = make(name, value)
                except OptionMistake as error:
                    mistakes.append(Mistake(*located.place((name, error.key)), f"{section}.{name}.{error}"))
                except ValueError as error:
                    mistakes.append(Mistake(*located.place((name,), key=True), f"{section}.{name}: {error}"))
            if mistakes:
                named.wrong[name] = tuple(mistakes)
        return named

    def _stores_apart(self) -> None:
        """Two stores at one place would count one object as two copies, and lose both when one of them is purged."""
        located = self.document.sections.get("stores")
        first: dict[tuple[str, str], str] = {}
        for name, store in list(self.stores.right.items()):
            place = os.path.normpath(store_folder(store.url)) if store.url.startswith("file:") else store.url
            other = first.setdefault((place, store.conn_id), name)
            if other != name and located is not None:
                text = f'stores.{name}.url: the store "{other}" is at this very place; each needs a place of its own.'
                self.stores.wrong[name] = (Mistake(*located.place((name, "url")), text),)
                del self.stores.right[name]

    def _site(self, located: Located) -> tuple[Site | None, list[Mistake]]:
        given = located.data if isinstance(located.data, dict) else {}
        section, mistakes = self._validate(schema.SiteSection, located, "")
        mistakes.extend(self.for_all)
        for key, wrong in self.default_mistakes.items():
            if given.get(key) is None:
                mistakes.extend(wrong)
        if section is None:  # the names it uses can be checked all the same, so that one look shows all
            self._used_names(given, located, mistakes)
            return None, mistakes
        stores, profile = self._used_names(given, located, mistakes)
        fallback = self._fallback(section, stores, given, located, mistakes)
        zone = section.time_zone or self.defaults.time_zone
        if zone is None and "time_zone" not in self.default_mistakes:
            text = "time_zone is missing here and in defaults; give WIB, WITA, WIT or a name such as Asia/Jakarta."
            mistakes.append(Mistake(*located.place(()), text))
        cameras = self._site_cameras(section, located, mistakes)
        every_store = (*stores, fallback) if fallback else stores
        self._folders(section, every_store, located, mistakes)
        retention = section.retention or self.defaults.retention or RETENTION
        self._locks(retention, every_store, located, mistakes)
        if mistakes or profile is None or zone is None:
            return None, mistakes
        inherits_keep = given.get("keep_source") is None
        return Site(
            id=section.id,
            name=section.name or section.id,
            time_zone=zone,
            footage=section.footage,
            cameras=cameras,
            pattern=section.pattern,
            stores=stores,
            profile=profile,
            keep_source=self.defaults.keep_source if inherits_keep else section.keep_source,
            retention=retention,
            every=section.every or self.defaults.every or EVERY,
            enabled=section.enabled,
            staging=section.staging and section.staging / section.id,  # each site has a memory of its own there
            schedule=section.schedule if section.schedule is not None else self.defaults.schedule or "",
            gap_tolerance=section.gap_tolerance or self.defaults.gap_tolerance or GAP_TOLERANCE,
            min_copies=section.min_copies or self.defaults.min_copies,
            fallback=fallback,
            fallback_after=section.fallback_after or self.defaults.fallback_after or FALLBACK_AFTER,
            uplink=section.uplink or self.defaults.uplink or UNLIMITED,
            runs_on=section.runs_on or self.defaults.runs_on or "centre",
            region=section.region,
            tier=section.tier,
        ), mistakes

    def _used_names(
        self, given: dict[str, Any], located: Located, mistakes: list[Mistake]
    ) -> tuple[tuple[StoreConfig, ...], Profile | None]:
        """The stores and the profile that a site uses; unknown or broken ones become its mistakes."""
        names, place = self._given_or_default(given, located, "stores")
        if names is None and "stores" not in self.default_mistakes:
            names = list({**self.stores.right, **self.stores.wrong})
            if len(names) > 1:
                text = f"stores is missing here and in defaults; allowed are {', '.join(names)}."
                mistakes.append(Mistake(*place, text))
                names = []
        names = [names] if isinstance(names, str) else names or []
        stores = [
            found
            for name in dict.fromkeys(one for one in names if isinstance(one, str))
            if (found := self._look_up("stores", self.stores, name, place, mistakes)) is not None
        ]
        name, place = self._given_or_default(given, located, "profile")
        profile = None
        if name is None or isinstance(name, str):
            profile = self._look_up("profiles", self.profiles, name or "av1", place, mistakes)
        pattern = given.get("pattern")
        if isinstance(pattern, str) and pattern != "auto" and pattern not in built_in_pattern_names():
            self._look_up("patterns", self.patterns, pattern, located.place(("pattern",)), mistakes)
        return tuple(stores), profile

    def _fallback(
        self,
        section: schema.SiteSection,
        stores: tuple[StoreConfig, ...],
        given: dict[str, Any],
        located: Located,
        mistakes: list[Mistake],
    ) -> StoreConfig | None:
        """The site's fallback; and whether it and min_copies fit the stores that it has."""
        wanted = section.min_copies or self.defaults.min_copies
        if stores and wanted is not None and wanted > len(stores):
            _, place = self._given_or_default(given, located, "min_copies")
            names = ", ".join(store.name for store in stores)
            text = f"min_copies: found {wanted}; allowed is at most {len(stores)}, as the stores here are {names}."
            mistakes.append(Mistake(*place, text))
        name, place = self._given_or_default(given, located, "fallback")
        if not isinstance(name, str):
            return None
        found: StoreConfig | None = self._look_up("stores", self.stores, name, place, mistakes)
        if found in stores:
            text = f'fallback: "{name}" is one of the stores here already; name another one, or take it out of stores.'
            mistakes.append(Mistake(*place, text))
        return found

    def _given_or_default(self, given: dict[str, Any], located: Located, key: str) -> tuple[Any, tuple[int, int]]:
        if given.get(key) is not None:
            return given[key], located.place((key,))
        defaults = self.document.sections.get("defaults")
        if defaults is not None and isinstance(defaults.data, dict) and key not in self.default_mistakes:
            value = defaults.data.get(key)
            if value is not None:
                return value, defaults.place((key,))
        return None, located.place(())

    def _look_up(
        self, section: str, named: _Named[T], name: str, place: tuple[int, int], mistakes: list[Mistake]
    ) -> T | None:
        self.used.add((section, name))
        if name in named.wrong:
            mistakes.extend(named.wrong[name])
        elif name not in named.right:
            known = [*named.right, *named.wrong]
            if section == "patterns":
                known = ["auto", *known, *built_in_pattern_names()]
            text = f'found "{name}" where a name from {section} belongs; allowed are {", ".join(known)}.'
            mistakes.append(Mistake(*place, text + did_you_mean(name, known)))
        return named.right.get(name)

    def _site_cameras(
        self, section: schema.SiteSection, located: Located, mistakes: list[Mistake]
    ) -> tuple[CameraConfig, ...]:
        cameras: list[CameraConfig] = []
        for number, one in enumerate(section.cameras):
            usual = section.schedule if section.schedule is not None else self.defaults.schedule or ""
            schedule = usual if one.schedule is None else one.schedule
            camera = CameraConfig(one.id, one.name or one.id, one.match or one.id, one.retention, schedule)
            for other in cameras:
                what = "id" if other.id == camera.id else "match"
                if other.id == camera.id or other.match.casefold() == camera.match.casefold():
                    text = f'cameras: the {what} "{getattr(camera, what)}" is given to two cameras; each needs its own.'
                    mistakes.append(Mistake(*located.place(("cameras", number, what)), text))
                    break
            cameras.append(camera)
        return tuple(cameras)

    def _folders(
        self, section: schema.SiteSection, stores: tuple[StoreConfig, ...], located: Located, mistakes: list[Mistake]
    ) -> None:
        """A store or staging folder inside the footage folder would be archived as footage, again and again."""
        inside = [
            (f'store "{store.name}"', store_folder(store.url)) for store in stores if store.url.startswith("file:")
        ]
        if section.staging is not None:
            inside.append(("staging folder", section.staging))
        for what, folder in inside:
            if folder.is_relative_to(section.footage):
                text = f"footage: the {what} lies inside this footage folder ({folder}); give each its own folder."
                mistakes.append(Mistake(*located.place(("footage",)), text))

    def _locks(
        self, retention: timedelta, stores: tuple[StoreConfig, ...], located: Located, mistakes: list[Mistake]
    ) -> None:
        for store in stores:
            if lock_outlasts(store.options, retention):
                text = (
                    f'retention: {retention.days}d end before the store "{store.name}" lets objects go (lock: '
                    f"{store.options.lock_days}d); make retention longer or the lock shorter."
                )
                mistakes.append(Mistake(*located.place(("retention",)), text))

    def _validate(self, kind: type[S], located: Located, title: str, at: Where = ()) -> tuple[S | None, list[Mistake]]:
        data = located.data
        for step in at:
            data = data[step]
        mistakes = [mistake for mistake in located.mistakes if mistake.where[: len(at)] == at]
        try:
            return kind.model_validate({} if data is None and at else data, context=self.context), mistakes
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                where = (*at, *detail["loc"])
                key = detail["type"] == "extra_forbidden"
                text = explain(detail, kind)
                prefix = ".".join(str(step) for step in (title, *where) if step != "" and not isinstance(step, int))
                mistakes.append(Mistake(*located.place(where, key), f"{prefix}: {text}" if prefix else text, where))
            return None, mistakes

    def _unused(self) -> None:
        for section, named in (("stores", self.stores), ("profiles", self.profiles), ("patterns", self.patterns)):
            for name, mistakes in named.wrong.items():
                if (section, name) not in self.used:
                    self.beside.extend(mistakes)
        if not self.document.sites:
            for mistakes_of_key in self.default_mistakes.values():
                self.beside.extend(mistakes_of_key)
            self.beside.extend(self.for_all)

    def _repeated(self, site_id: str, ids: list[str]) -> SiteError:
        mistakes = [
            Mistake(*located.place(("id",)), f'the id "{site_id}" is given to more than one site; each needs its own.')
            for located, one in zip(self.document.sites, ids, strict=True)
            if one == site_id
        ]
        return SiteError(site_id, self._report(f'site "{site_id}"', mistakes))

    def _report(self, title: str, mistakes: list[Mistake]) -> str:
        lines = dict.fromkeys(
            f"{self.path}:{one.line}:{one.column}: {f'{title}: ' if title else ''}{one.text}"
            for one in sorted(mistakes, key=lambda one: (one.line, one.column))
        )
        return "\n".join(lines)


def _store(name: str, section: schema.StoreSection) -> StoreConfig:
    if section.conn_id and section.url.startswith("file:"):
        raise ValueError("conn_id: a mounted folder needs no connection; take it out.")
    options = store_options(section, section.url)
    at = browsers(section.viewer, section.url)
    return StoreConfig(name, section.url, section.conn_id, options, section.retention, section.size, at)


def _profile(name: str, section: schema.ProfileSection) -> Profile:
    presets = _PRESETS.get(section.codec)
    if presets and section.preset is not None and section.preset not in presets:
        near = did_you_mean(section.preset, presets)
        raise ValueError(
            f'preset: found "{section.preset}"; allowed for {section.codec} are {", ".join(presets)}.{near}'
        )
    if section.codec == "h264" and section.crf is not None and section.crf > 51:
        raise ValueError(f"crf: found {section.crf}; allowed for h264 is 0 to 51.")
    keyframes = section.keyframe_every.total_seconds()
    if not 1 <= keyframes <= 60:
        raise ValueError(f"keyframe_every: found {keyframes:g} s; allowed is 1s to 60s.")
    return Profile(
        name,
        section.codec,
        section.preset or _DEFAULT_PRESET.get(section.codec, ""),
        section.crf if section.crf is not None else _DEFAULT_CRF.get(section.codec, 0),
        keyframes,
        section.pixel_format,
    )


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
