"""Is the key of a branch as narrow as it should be? Found by trying: what it needs must work, all else must be refused.

It may not even read, so nothing is proven here; the centre does that with every object, and checks the store as such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from vms.errors import StoreDenied, StoreError
from vms.stores.base import Finding, Tell

PROBE_BYTES = 2 << 20
"""How much is sent to measure the line; it is given up again."""


@dataclass
class Trial:
    """One thing that is tried. what: said of it when it works, or, of what must be refused, when it is not.

    must_fail: it is more than the key should be able to do. hint: for what is no fault but better otherwise.
    numbers: filled by `do`, see Finding.
    """

    doing: str
    what: str
    do: Callable[[], None]
    must_fail: bool = False
    hint: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class TriesNarrowKey(Protocol):
    """A store that can say what a branch's key is to be tried with."""

    def narrow_trials(self, site: str) -> Sequence[Trial]:
        """The first of them is to put the probe, or to find it there."""


def narrow_findings(store: TriesNarrowKey, name: str, site: str, tell: Tell | None = None) -> list[Finding]:
    """Never raises. name: the store's. What the key should not be able to do and can is a finding that is not ok."""
    found: list[Finding] = []
    refused: list[str] = []
    remedy = f"Give it the rights that `vms branch policy {site} --store {name}` prints at the centre, and no others."
    for trial in store.narrow_trials(site):
        if tell is not None:
            tell(trial.doing)
        try:
            trial.do()
        except StoreDenied as error:
            if trial.must_fail:
                refused.append(trial.doing)
                continue
            found.append(Finding(False, error.message, f"{error.remedy} {remedy}"))
        except StoreError as error:
            found.append(Finding(False, error.message, error.remedy))
        else:
            if trial.must_fail:
                found.append(Finding(bool(trial.hint), trial.what, trial.hint or remedy))
            else:
                found.append(Finding(True, trial.what, numbers=trial.numbers))
        if len(found) == 1 and not found[0].ok:
            return found
    if refused:
        found.append(Finding(True, f"this key is as narrow as it should be: it is refused {', '.join(refused)}"))
    return found
