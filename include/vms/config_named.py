"""What sites use by its name: the stores, profiles and name patterns of sites.yaml.

A mistake in one of them leaves out the sites that use it; if none does, it is reported beside the sites.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vms import config_schema as schema
from vms.config_model import NamePattern, Profile, StoreConfig
from vms.config_sections import S, Sections
from vms.config_stores import OptionMistake, browsers, store_options
from vms.config_values import did_you_mean, store_folder, store_url
from vms.config_wording import found_text
from vms.config_yaml import Mistake
from vms.recorders import built_in_pattern_names

BUILT_IN_PROFILES = {
    "av1": Profile("av1", "av1", "9", 36, 16.0, "yuv420p"),
    "h264-seed": Profile("h264-seed", "h264", "medium", 28, 16.0, "yuv420p"),
    "copy": Profile("copy", "copy", "", 0, 16.0, "yuv420p"),
}
"""The names every sites.yaml may use without defining them; a profile of the same name in the file replaces one."""

_PRESETS = {
    "av1": [str(number) for number in range(14)],
    "h264": ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"],
}
_DEFAULT_CRF = {"av1": 36, "h264": 28}
_DEFAULT_PRESET = {"av1": "9", "h264": "medium"}

T = TypeVar("T")


@dataclass(frozen=True)
class Named(Generic[T]):
    """The entries of stores, profiles or patterns: those that are right, and the mistakes of those that are not."""

    right: dict[str, T]
    wrong: dict[str, tuple[Mistake, ...]]


class Names:
    """All that sites can name, and what of it they did name."""

    def __init__(self, sections: Sections) -> None:
        self._used: set[tuple[str, str]] = set()
        self.stores: Named[StoreConfig] = _named(sections, "stores", schema.StoreSection, _store)
        if sections.given("stores") is None:
            self.stores.right["nas"] = StoreConfig("nas", store_url("file://${VMS_HOME}/nas", sections.home))
        _part_stores(sections, self.stores)
        self.profiles: Named[Profile] = _named(sections, "profiles", schema.ProfileSection, _profile)
        for name, profile in BUILT_IN_PROFILES.items():
            if name not in self.profiles.wrong:
                self.profiles.right.setdefault(name, profile)
        self.patterns: Named[NamePattern] = _named(sections, "patterns", schema.PatternSection, _pattern)

    def store(self, name: str, place: tuple[int, int], mistakes: list[Mistake]) -> StoreConfig | None:
        """The store of this name; an unknown or broken one is a mistake at this place."""
        return self._look_up("stores", self.stores, name, place, mistakes)

    def profile(self, name: str, place: tuple[int, int], mistakes: list[Mistake]) -> Profile | None:
        """Like `store`."""
        return self._look_up("profiles", self.profiles, name, place, mistakes)

    def pattern(self, name: str, place: tuple[int, int], mistakes: list[Mistake]) -> None:
        """Like `store`, for a name that is none of the built-in patterns."""
        known = ["auto", *self.patterns.right, *self.patterns.wrong, *built_in_pattern_names()]
        self._look_up("patterns", self.patterns, name, place, mistakes, known)

    def unused(self) -> Iterator[Mistake]:
        """The mistakes of what no site has named."""
        for section, named in (("stores", self.stores), ("profiles", self.profiles), ("patterns", self.patterns)):
            for name, mistakes in named.wrong.items():
                if (section, name) not in self._used:
                    yield from mistakes

    def _look_up(
        self,
        section: str,
        named: Named[T],
        name: str,
        place: tuple[int, int],
        mistakes: list[Mistake],
        known: Sequence[str] = (),
    ) -> T | None:
        self._used.add((section, name))
        if name in named.wrong:
            mistakes.extend(named.wrong[name])
        elif name not in named.right:
            known = known or [*named.right, *named.wrong]
            text = f'found "{name}" where a name from {section} belongs; allowed are {", ".join(known)}.'
            mistakes.append(Mistake(*place, text + did_you_mean(name, known)))
        return named.right.get(name)


def _named(sections: Sections, section: str, form: type[S], make: Any) -> Named[Any]:
    named: Named[Any] = Named({}, {})
    located = sections.given(section)
    if located is None:
        return named
    if not isinstance(located.data, dict):
        text = f"{section}: found {found_text(located.data)}; allowed is a name for each, with its keys below."
        sections.beside.append(Mistake(*located.place(()), text))
        return named
    sections.beside.extend(mistake for mistake in located.mistakes if len(mistake.where) < 2)
    for name in located.data:
        value, mistakes = sections.validate(form, located, section, (name,))
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


def _part_stores(sections: Sections, stores: Named[StoreConfig]) -> None:
    """Two stores at one place would count one object as two copies, and lose both when one of them is purged."""
    located = sections.document.sections.get("stores")
    first: dict[tuple[str, str], str] = {}
    for name, store in list(stores.right.items()):
        place = os.path.normpath(store_folder(store.url)) if store.url.startswith("file:") else store.url
        other = first.setdefault((place, store.conn_id), name)
        if other != name and located is not None:
            text = f'stores.{name}.url: the store "{other}" is at this very place; each needs a place of its own.'
            stores.wrong[name] = (Mistake(*located.place((name, "url")), text),)
            del stores.right[name]


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


def _pattern(name: str, section: schema.PatternSection) -> NamePattern:
    return NamePattern(name, section.regex, section.time_is, section.zone)
