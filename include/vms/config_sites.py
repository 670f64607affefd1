"""One site of sites.yaml, with the defaults filled in: what it says, what it inherits, and every mistake of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from vms import config_schema as schema
from vms.config_model import (
    EVERY,
    FALLBACK_AFTER,
    GAP_TOLERANCE,
    RETENTION,
    CameraConfig,
    Profile,
    Site,
    StoreConfig,
)
from vms.config_named import Names
from vms.config_sections import Sections
from vms.config_stores import lock_outlasts
from vms.config_values import store_folder
from vms.config_yaml import Located, Mistake
from vms.recorders import built_in_pattern_names
from vms.uplink import UNLIMITED


@dataclass
class Defaults:
    """What sites inherit. by_key: the mistakes of each key that is not right. for_all: those that every site gets."""

    section: schema.DefaultsSection = field(default_factory=schema.DefaultsSection)
    by_key: dict[str, list[Mistake]] = field(default_factory=dict)
    for_all: list[Mistake] = field(default_factory=list)


def defaults_of(sections: Sections, for_all: list[Mistake]) -> Defaults:
    """for_all: the mistakes that every site gets anyway."""
    found = Defaults(for_all=for_all)
    located = sections.given("defaults")
    if located is None:
        return found
    section, mistakes = sections.validate(schema.DefaultsSection, located, "defaults")
    for mistake in mistakes:
        key = str(mistake.where[0]) if mistake.where else ""
        if key in schema.DefaultsSection.model_fields and mistake not in located.mistakes:
            found.by_key.setdefault(key, []).append(mistake)
        else:
            found.for_all.append(mistake)
    if section is None and isinstance(located.data, dict):
        kept = {
            key: value
            for key, value in located.data.items()
            if key in schema.DefaultsSection.model_fields and key not in found.by_key
        }
        section = schema.DefaultsSection.model_validate(kept, context=sections.context)
    found.section = section or found.section
    return found


class SiteCheck:
    """One site while it is being checked. mistakes: all that were found so far."""

    def __init__(self, sections: Sections, names: Names, defaults: Defaults, located: Located) -> None:
        self._sections = sections
        self._names = names
        self._defaults = defaults
        self._inherited = defaults.section
        self._located = located
        self._given: dict[str, Any] = located.data if isinstance(located.data, dict) else {}
        self.mistakes: list[Mistake] = []

    def site(self) -> Site | None:
        """The site; None when there are mistakes."""
        section, mistakes = self._sections.validate(schema.SiteSection, self._located, "")
        self.mistakes.extend(mistakes)
        self.mistakes.extend(self._defaults.for_all)
        for key, wrong in self._defaults.by_key.items():
            if self._given.get(key) is None:
                self.mistakes.extend(wrong)
        stores, profile = self._used_names()  # also of a broken site, so that one look shows all
        return None if section is None else self._made(section, stores, profile)

    def _made(
        self, section: schema.SiteSection, stores: tuple[StoreConfig, ...], profile: Profile | None
    ) -> Site | None:
        inherited = self._inherited
        fallback = self._fallback(section, stores)
        zone = section.time_zone or inherited.time_zone
        if zone is None and "time_zone" not in self._defaults.by_key:
            self._wrong(
                self._located.place(()),
                "time_zone is missing here and in defaults; give WIB, WITA, WIT or a name such as Asia/Jakarta.",
            )
        cameras = self._cameras(section)
        every_store = (*stores, fallback) if fallback else stores
        self._folders(section, every_store)
        retention = section.retention or inherited.retention or RETENTION
        self._locks(retention, every_store)
        if self.mistakes or profile is None or zone is None:
            return None
        inherits_keep = self._given.get("keep_source") is None
        return Site(
            id=section.id,
            name=section.name or section.id,
            time_zone=zone,
            footage=section.footage,
            cameras=cameras,
            pattern=section.pattern,
            stores=stores,
            profile=profile,
            keep_source=inherited.keep_source if inherits_keep else section.keep_source,
            retention=retention,
            every=section.every or inherited.every or EVERY,
            enabled=section.enabled,
            staging=section.staging and section.staging / section.id,  # each site has a memory of its own there
            schedule=self._schedule(section),
            gap_tolerance=section.gap_tolerance or inherited.gap_tolerance or GAP_TOLERANCE,
            min_copies=section.min_copies or inherited.min_copies,
            fallback=fallback,
            fallback_after=section.fallback_after or inherited.fallback_after or FALLBACK_AFTER,
            uplink=section.uplink or inherited.uplink or UNLIMITED,
            runs_on=section.runs_on or inherited.runs_on or "centre",
            region=section.region,
            tier=section.tier,
        )

    def _wrong(self, place: tuple[int, int], text: str) -> None:
        self.mistakes.append(Mistake(*place, text))

    def _used_names(self) -> tuple[tuple[StoreConfig, ...], Profile | None]:
        """The stores and the profile that the site uses; unknown or broken ones become its mistakes."""
        names, place = self._given_or_default("stores")
        if names is None and "stores" not in self._defaults.by_key:
            names = list({**self._names.stores.right, **self._names.stores.wrong})
            if len(names) > 1:
                self._wrong(place, f"stores is missing here and in defaults; allowed are {', '.join(names)}.")
                names = []
        names = [names] if isinstance(names, str) else names or []
        stores = [
            found
            for name in dict.fromkeys(one for one in names if isinstance(one, str))
            if (found := self._names.store(name, place, self.mistakes)) is not None
        ]
        name, place = self._given_or_default("profile")
        profile = None
        if name is None or isinstance(name, str):
            profile = self._names.profile(name or "av1", place, self.mistakes)
        pattern = self._given.get("pattern")
        if isinstance(pattern, str) and pattern != "auto" and pattern not in built_in_pattern_names():
            self._names.pattern(pattern, self._located.place(("pattern",)), self.mistakes)
        return tuple(stores), profile

    def _fallback(self, section: schema.SiteSection, stores: tuple[StoreConfig, ...]) -> StoreConfig | None:
        """The site's fallback; and whether it and min_copies fit the stores that it has."""
        wanted = section.min_copies or self._inherited.min_copies
        if stores and wanted is not None and wanted > len(stores):
            _, place = self._given_or_default("min_copies")
            names = ", ".join(store.name for store in stores)
            self._wrong(
                place,
                f"min_copies: found {wanted}; allowed is at most {len(stores)}, as the stores here are {names}.",
            )
        name, place = self._given_or_default("fallback")
        if not isinstance(name, str):
            return None
        found = self._names.store(name, place, self.mistakes)
        if found in stores:
            text = f'fallback: "{name}" is one of the stores here already; name another one, or take it out of stores.'
            self._wrong(place, text)
        return found

    def _given_or_default(self, key: str) -> tuple[Any, tuple[int, int]]:
        """What the site or the defaults say of this key, and where."""
        if self._given.get(key) is not None:
            return self._given[key], self._located.place((key,))
        defaults = self._sections.document.sections.get("defaults")
        if defaults is not None and isinstance(defaults.data, dict) and key not in self._defaults.by_key:
            value = defaults.data.get(key)
            if value is not None:
                return value, defaults.place((key,))
        return None, self._located.place(())

    def _schedule(self, section: schema.SiteSection) -> str:
        return section.schedule if section.schedule is not None else self._inherited.schedule or ""

    def _cameras(self, section: schema.SiteSection) -> tuple[CameraConfig, ...]:
        cameras: list[CameraConfig] = []
        for number, one in enumerate(section.cameras):
            schedule = self._schedule(section) if one.schedule is None else one.schedule
            camera = CameraConfig(one.id, one.name or one.id, one.match or one.id, one.retention, schedule)
            for other in cameras:
                what = "id" if other.id == camera.id else "match"
                if other.id == camera.id or other.match.casefold() == camera.match.casefold():
                    self._wrong(
                        self._located.place(("cameras", number, what)),
                        f'cameras: the {what} "{getattr(camera, what)}" is given to two cameras; each needs its own.',
                    )
                    break
            cameras.append(camera)
        return tuple(cameras)

    def _folders(self, section: schema.SiteSection, stores: tuple[StoreConfig, ...]) -> None:
        """A store or staging folder inside the footage folder would be archived as footage, again and again."""
        inside = [
            (f'store "{store.name}"', store_folder(store.url)) for store in stores if store.url.startswith("file:")
        ]
        if section.staging is not None:
            inside.append(("staging folder", section.staging))
        for what, folder in inside:
            if folder.is_relative_to(section.footage):
                text = f"footage: the {what} lies inside this footage folder ({folder}); give each its own folder."
                self._wrong(self._located.place(("footage",)), text)

    def _locks(self, retention: timedelta, stores: tuple[StoreConfig, ...]) -> None:
        for store in stores:
            if lock_outlasts(store.options, retention):
                self._wrong(
                    self._located.place(("retention",)),
                    f'retention: {retention.days}d end before the store "{store.name}" lets objects go (lock: '
                    f"{store.options.lock_days}d); make retention longer or the lock shorter.",
                )
