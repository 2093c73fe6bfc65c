"""Read the small pieces of a mapping file: names, paths, texts, words and fates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from engine.diagnostics import Place, Problems, did_you_mean
from engine.document import Node
from engine.transform.mapping import (
    Fate,
    Name,
    Path,
)

QUOTES = "put a text with a comma in quotes: within {} a comma starts the next key."
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:\[x\])?\Z")


class Pieces(Problems):
    """Turn nodes into values, collecting every problem on the way."""

    def path(self, text: str, place: Place) -> Path | None:
        each = text.endswith("[]")
        names = tuple(text.replace("[].", ".").removesuffix("[]").split("."))
        if not all(_NAME.match(name) for name in names):
            self.problem(
                "M003",
                f"'{text[:80]}' is no path.",
                place,
                "names with dots between them, `[]` at the end for each item of a list",
            )
            return None
        return Path(names, each, place)

    def paths(self, node: Node, key: str) -> tuple[Path, ...]:
        found = (self.path(name.text, name.place) for name in self.names(node, key))
        return tuple(path for path in found if path)

    def names(self, node: Node, key: str) -> Iterator[Name]:
        given = node.get(key)
        if given is None:
            return
        for item in given.value if given.is_list else [given]:
            if isinstance(item.value, str):
                yield Name(item.value, item.place)
            else:
                self.problem("M003", f"`{key}:` is a name or a list of names.", item.place)

    def texts(self, node: Node | None) -> Mapping[str, str]:
        if node is None or not self.is_map(node, "name: text"):
            return {}
        return {key: self.scalar(key, value) for key, _, value in node.items()}

    def scalar(self, key: str, node: Node) -> str:
        """Return one value as text; a list, a mapping or nothing at all is none."""
        if node.is_map or node.is_list or node.value is None or node.value == "":
            self.problem("M003", f"'{key[:80]}' says no text.", node.place, "a text")
            return ""
        return str(node.value).lower() if isinstance(node.value, bool) else str(node.value)

    def flag(self, node: Node, key: str, default: bool) -> bool:
        given = node.get(key)
        if given is None:
            return default
        if not isinstance(given.value, bool):
            self.problem("M003", f"`{key}:` is true or false.", given.place, "true or false")
            return default
        return given.value

    def text(self, node: Node, key: str, required: bool = False) -> Name | None:
        given = self.need(node, key) if required else node.get(key)
        if given is None:
            return None
        if not isinstance(given.value, str) or not given.value:
            self.problem("M003", f"`{key}:` is a text.", given.place, "a text")
            return None
        return Name(given.value, given.place)

    def plain_text(self, node: Node, key: str) -> str:
        given = node.get(key)
        return given.value if given is not None and isinstance(given.value, str) else ""

    def need(self, node: Node, key: str) -> Node | None:
        given = node.get(key)
        if given is None:
            self.problem("M002", f"The key `{key}:` is missing.", node.place, f"{key}: ...")
        return given

    def is_map(self, node: Node, expected: str) -> bool:
        if not node.is_map:
            self.problem("M003", "A mapping (key: value) belongs here.", node.place, expected)
        return node.is_map

    def known(self, node: Node, keys: Iterable[str], what: str, code: str = "M001") -> None:
        names = list(keys)
        for key, place, value in node.items():
            if key not in names:
                words = " " in key and value.value is None
                self.problem(
                    code,
                    f"There is no '{key[:80]}' in {what}.",
                    place,
                    ", ".join(sorted(names)),
                    QUOTES if words else did_you_mean(key, names),
                )

    def word(self, name: Name, words: Iterable[str], code: str = "M003") -> None:
        choices = list(words)
        self.problem(
            code,
            f"'{name.text[:80]}' is none of the words that belong here.",
            name.place,
            " | ".join(choices),
            did_you_mean(name.text, choices),
        )

    def fate(self, node: Node, words: tuple[str, ...]) -> Fate | None:
        if isinstance(node.value, str) and node.value in words:
            return Fate(cast(Any, node.value), "", node.place)
        if isinstance(node.value, str) and node.value != "drop":
            self.word(Name(node.value, node.place), words)
            return None
        reason = node.get("drop")
        if reason is None or not isinstance(reason.value, str) or len(reason.value.strip()) < 3:
            code = "M017" if node.value == "drop" or node.get("drop") else "M003"
            self.problem(
                code,
                "What becomes of the value is not said, or dropped without a reason.",
                node.place,
                f"{' | '.join(words)} | {{drop: why}}",
            )
            return None
        return Fate("drop", reason.value, node.place)
