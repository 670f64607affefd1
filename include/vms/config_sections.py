"""The sections of sites.yaml, each held against its form (`vms.config_schema`): what is right, and every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vms.config_schema import Section
from vms.config_wording import explain
from vms.config_yaml import Document, Located, Mistake, Where

S = TypeVar("S", bound=Section)
Policy = TypeVar("Policy")


class Sections:
    """A document while it is being checked. beside: the mistakes that belong to no site.

    home: what ${VMS_HOME} stands for. of_newer: leave out keys that are not known, and note them in `unknown`.
    """

    def __init__(self, document: Document, home: Path, of_newer: bool = False) -> None:
        self.document = document
        self.home = home
        self.context = {"home": home}
        self.beside: list[Mistake] = []
        self.of_newer = of_newer
        self.unknown: list[str] = []

    def given(self, key: str) -> Located | None:
        """The section of this key; None when it is not there or says nothing."""
        located = self.document.sections.get(key)
        return None if located is None or located.data is None else located

    def policy(self, key: str, form: type[Section], policy: type[Policy]) -> Policy:
        """What is not said has its default. A mistake is told beside the sites, and all of it goes by the defaults."""
        located = self.given(key)
        if located is None:
            return policy()
        section, mistakes = self.validate(form, located, key)
        self.beside.extend(mistakes)
        return policy(**(section.model_dump(exclude_none=True) if section is not None else {}))

    def right(self, key: str, form: type[S]) -> S | None:
        """The section when it is there and right as a whole. A mistake is told beside the sites."""
        located = self.given(key)
        if located is None:
            return None
        section, mistakes = self.validate(form, located, key)
        self.beside.extend(mistakes)
        return None if mistakes else section

    def validate(self, form: type[S], located: Located, title: str, at: Where = ()) -> tuple[S | None, list[Mistake]]:
        """title: how messages name it. at: the part of it that is meant."""
        data = located.data
        for step in at:
            data = data[step]
        mistakes = [mistake for mistake in located.mistakes if mistake.where[: len(at)] == at]
        data = {} if data is None and at else data
        if self.of_newer:
            data = self._known(form, data, (title or "sites", *at))
        try:
            return form.model_validate(data, context=self.context), mistakes
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                where = (*at, *detail["loc"])
                key = detail["type"] == "extra_forbidden"
                text = explain(detail, form)
                prefix = _dotted((title, *where))
                mistakes.append(Mistake(*located.place(where, key), f"{prefix}: {text}" if prefix else text, where))
            return None, mistakes

    def _known(self, form: type[Section], data: Any, title: Where) -> Any:
        """The data without the keys that the form does not have, however deep."""
        try:
            form.model_validate(data, context=self.context)
        except ValidationError as error:
            found = error.errors(include_url=False)
            unknown = {detail["loc"] for detail in found if detail["type"] == "extra_forbidden"}
            self.unknown.extend(_dotted((*title, *where)) for where in sorted(unknown, key=str))
            return _without(data, unknown)
        return data


def _dotted(where: Where) -> str:
    return ".".join(str(step) for step in where if step != "" and not isinstance(step, int))


def _without(data: Any, left_out: set[Where], at: Where = ()) -> Any:
    if isinstance(data, dict):
        return {key: _without(value, left_out, (*at, key)) for key, value in data.items() if (*at, key) not in left_out}
    if isinstance(data, list):
        return [_without(value, left_out, (*at, number)) for number, value in enumerate(data)]
    return data
