"""Somebody without a mouse: only keys are pressed. Whatever the focus comes to has to be seen to have it, and has a
name by which a screen reader calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from viewer_world import eventually

MOST_STOPS = 90

_FOCUSED = """
const focused = () => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at === document.body || at === document.documentElement ? null : at;
};
"""

_LOOK = (
    "async () => {"
    + _FOCUSED
    + """
  const up = (one) => one.assignedSlot || one.parentElement || one.getRootNode().host || null;
  const around = (node) => {
    const found = [];
    for (let one = node; one && found.length < 4; one = up(one)) found.push(one);
    const label = node.closest("label");  // a box that is drawn beside the hidden real one
    const seen = (one) => getComputedStyle(one).opacity !== "0";
    return [...found, ...(label ? label.querySelectorAll("*") : [])].filter(seen);
  };
  const look = async (parts) => {
    const moving = parts.flatMap((one) => one.getAnimations()).filter((one) => one instanceof CSSTransition);
    await Promise.allSettled(moving.map((one) => one.finished));
    const told = (is) =>
      [is.outlineStyle, is.outlineWidth, is.outlineColor, is.boxShadow, is.borderTopColor, is.backgroundColor];
    return parts.map((one) => told(getComputedStyle(one)).join()).join();
  };
  const last = window.lastStop, now = focused();
  let unseen = false;
  if (last && last.node !== now && last.node.isConnected) {
    unseen = (await look(last.parts.filter((one) => one.isConnected))) === last.look;
  }
  const parts = now ? around(now) : [];
  window.lastStop = now && { node: now, parts, look: await look(parts) };
  return unseen;
}"""
)
"""Whether what had the focus before looks now, without it, as it looked with it."""


@dataclass(frozen=True)
class Heard:
    """What a screen reader says of that which has the focus."""

    role: str
    name: str


NOTHING = Heard("", "")


@dataclass
class Keyboard:
    """One person's keys on one page. unseen: what had the focus and did not show it. nameless: what has no name."""

    page: Any
    unseen: list[Heard] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)
    _reader: Any = None
    _last: Heard = NOTHING

    def heard(self) -> Heard:
        """What has the focus now; NOTHING when that is the page as a whole."""
        if self._reader is None:
            self._reader = self.page.context.new_cdp_session(self.page)
        found = self._reader.send("Runtime.evaluate", {"expression": f"(() => {{{_FOCUSED} return focused(); }})()"})
        if "objectId" not in found["result"]:
            return NOTHING
        wanted = {"objectId": found["result"]["objectId"], "fetchRelatives": False}
        node = self._reader.send("Accessibility.getPartialAXTree", wanted)["nodes"][0]
        role, name = (node.get(part, {}).get("value", "") for part in ("role", "name"))
        return Heard(role, name.strip())

    def stop(self) -> Heard:
        """Look at what has the focus now, and note what is wrong with it or with the one before."""
        if self.page.evaluate(_LOOK):
            self.unseen.append(self._last)
        now = self._last = self.heard()
        if now != NOTHING and not now.name:
            self.nameless.append(now.role)
        return now

    def press(self, *keys: str) -> Heard:
        """Press these, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)
        return self.stop()

    def to(self, name: str, most: int, role: str = "", key: str = "Tab") -> None:
        """Tab to what is called so, within `most` presses."""
        seen = []
        for _ in range(most):
            now = self.press(key)
            if re.match(name, now.name) and role in ("", now.role):
                return
            seen.append(now.name)
        raise AssertionError(f"{name} was not come to, only {seen}")

    def comes_to(self, name: str) -> None:
        """The focus goes there by itself."""
        eventually(lambda: re.match(name, self.heard().name))
        self.stop()

    def all_stops(self) -> list[Heard]:
        """Tab through the whole page, from its top and out of it at its end."""
        found: list[Heard] = []
        while (now := self.press("Tab")) != NOTHING:
            assert len(found) < MOST_STOPS, f"there is no way out: {found[-6:]}"
            found.append(now)
        return found
