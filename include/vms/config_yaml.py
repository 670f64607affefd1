"""YAML with places: the text of sites.yaml as plain data in which every key and value knows its line and column.

Scalars stay the text that the user wrote (the checks turn them into numbers, durations and so on), so that a site
named `no` or a camera named `007` keeps its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from vms.errors import ConfigError

MAX_BYTES = 32 * 1024 * 1024
"""Far above 10,000 sites; keeps a path that points to a video from being read whole."""

MAX_DEPTH = 20
"""Deeper than any valid file; stops an alias that contains itself."""

_NEXT_SECTION = re.compile(r"^[^\s#-]", re.MULTILINE)
_ITEM = re.compile(r"^( *)- ", re.MULTILINE)
_SHARED = re.compile(r"(?:^|[\s:,\[{-])[&*]\w|<<", re.MULTILINE)

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in sites.yaml. line and column count from 1; where is the way of keys that leads there."""

    line: int
    column: int
    text: str
    where: Where = ()


@dataclass
class Located:
    """Plain data (None, str, list, dict) and where each part of it stands: keys and values by their way of keys."""

    data: Any
    keys: dict[Where, tuple[int, int]] = field(default_factory=dict)
    values: dict[Where, tuple[int, int]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def place(self, where: Where, key: bool = False) -> tuple[int, int]:
        """Line and column (from 1) of this key or value, or of the nearest thing around it."""
        marks = self.keys if key else self.values
        while where not in marks and where:
            where = where[:-1]
            marks = self.values
        return marks.get(where, (1, 1))


@dataclass(frozen=True)
class Document:
    """sites.yaml cut at its top: each section, and each site, on its own, so that one bad part leaves the others."""

    path: Path
    top: Located
    sections: dict[str, Located]
    sites: tuple[Located, ...]


def read_document(path: Path, only_site: str | None = None) -> Document:
    """Read the file. Raises ConfigError when it can't be read, is not UTF-8, no YAML, or no mapping on top.

    only_site: of the sites, read those alone that may be it, which costs the same however many there are. Sites that
    can't be told apart at a glance are all read.
    """
    text = _read(path)
    shorter = only_site and without_other_sites(text, only_site)
    try:
        root = _compose(path, shorter or text)
    except ConfigError:
        if not shorter:
            raise
        root = _compose(path, text)  # it may use what another site has defined
    top = Located({}, values={(): _at(root)})
    sections: dict[str, Located] = {}
    sites: list[Located] = []
    for key, value in root.value:
        name = str(key.value)
        if name in top.data:
            first = top.keys[(name,)][0]
            raise _error(
                path, _at(key), f'The key "{name}" is given twice; it is first in line {first}.', "Merge both."
            )
        top.data[name] = None
        top.keys[(name,)], top.values[(name,)] = _at(key), _at(value)
        if name == "sites":
            sites = [locate(one) for one in _items(path, value)]
        else:
            sections[name] = locate(value)
    return Document(path, top, sections, tuple(sites))


def without_other_sites(text: str, site: str) -> str:
    """The text with the lines of all sites emptied that don't name this one; "" when that can't be told line by line.

    What stays keeps its line and column. Parsing YAML is the dear part of reading a large file.
    """
    head = re.search(r"^sites:[ \t]*(?:#.*)?\r?$", text, re.MULTILINE)
    if head is None:
        return ""
    tail = _NEXT_SECTION.search(text, head.end() + 1)
    end = tail.start() if tail else len(text)
    dash = _ITEM.search(text, head.end() + 1, end)
    if dash is None or _reaches_out(text[dash.start() : end]):
        return ""
    items = re.compile(rf"^{dash[1]}- ", re.MULTILINE)
    cuts = [*(one.start() for one in items.finditer(text, dash.start(), end)), end]
    named = re.compile(rf"(?<![\w-]){re.escape(site)}(?![\w-])")
    parts = [text[: dash.start()]]
    for start, stop in pairwise(cuts):
        is_it = text.find(site, start, stop) >= 0 and named.search(text, start, stop)
        parts.append(text[start:stop] if is_it else "\n" * text.count("\n", start, stop))
    return "".join((*parts, text[end:]))


def _reaches_out(sites: str) -> bool:
    """Whether one site may have something of another, or of a line that looks like another: anchors, open quotes."""
    if any(sign in sites for sign in ("&", "*", "<<")) and _SHARED.search(sites):
        return True
    return any(line.count(quote) % 2 for quote in "\"'" if quote in sites for line in sites.splitlines())


def locate(node: Any) -> Located:
    """The plain data of one YAML node with the place of every part."""
    located = Located(None)
    located.data = _plain(node, (), located)
    return located


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read ({error.strerror}).", "It must be a text file that this user may read."
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB.", "Is VMS_SITES set to the right file?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        found = f"The file is not UTF-8 text: byte 0x{raw[error.start]:02X}."
        raise _error(path, (line, column), found, "Save it as UTF-8 in your editor.") from error


def _compose(path: Path, text: str) -> Any:
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise _yaml_error(path, text, error) from error
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value.strip()):
        raise ConfigError(f"{path} is empty.", "Copy include/sites.example.yaml over it and edit the copy.")
    if not isinstance(root, yaml.MappingNode):
        kind = "a list" if isinstance(root, yaml.SequenceNode) else "plain text"
        raise _error(
            path,
            _at(root),
            f"Found {kind} on top.",
            'Keys such as "company:" and "sites:" must come first, see the example.',
        )
    return root


def _yaml_error(path: Path, text: str, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return ConfigError(f"{path}: no valid YAML: {error}.", "Remove control characters from the file.")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        found, remedy = "The line is indented with a tab.", "YAML wants spaces: replace each tab by two spaces."
        return _error(path, (mark.line + 1, indent.index("\t") + 1), found, remedy)
    problem = getattr(error, "problem", None) or "no valid YAML"
    return _error(
        path,
        (mark.line + 1, mark.column + 1),
        f"No valid YAML here: {problem}.",
        'Check the indentation and the colons around this line; a text with ": ", "#", "{" or "[" needs quotes.',
    )


def _items(path: Path, node: Any) -> list[Any]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null"):
        return []
    raise _error(path, _at(node), '"sites" is not a list.', 'Begin each site with "- id: ..." below "sites:".')


def _plain(node: Any, where: Where, out: Located) -> Any:
    out.values[where] = _at(node)
    if len(where) > MAX_DEPTH:
        out.mistakes.append(Mistake(*_at(node), "This is nested too deeply.", where))
        return None
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, (*where, number), out) for number, one in enumerate(node.value)]
    data: dict[str, Any] = {}
    merged: list[Any] = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            out.mistakes.append(Mistake(*_at(key), "A key must be a plain word.", where))
        elif key.tag == "tag:yaml.org,2002:merge":
            merged.extend(value.value if isinstance(value, yaml.SequenceNode) else [value])
        elif key.value in data:
            first = out.keys[*where, key.value][0]
            text = f'The key "{key.value}" is given twice; it is first in line {first}. Remove one.'
            out.mistakes.append(Mistake(*_at(key), text, (*where, key.value)))
        else:
            out.keys[*where, key.value] = _at(key)
            data[key.value] = _plain(value, (*where, key.value), out)
    for base in merged:
        inherited = _plain(base, where, out)
        data = {**inherited, **data} if isinstance(inherited, dict) else data
    out.values[where] = _at(node)
    return data


def _at(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _error(path: Path, place: tuple[int, int], found: str, remedy: str) -> ConfigError:
    return ConfigError(f"{path}:{place[0]}:{place[1]}: {found}", remedy)
