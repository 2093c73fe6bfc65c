"""The words of notifications: templates by event and language, checked before they are used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.config.notifications import EVENTS
from engine.diagnostics import Diagnostic, did_you_mean
from engine.document import Node, read

FOLDER = "notifications"
FRAME = "notice"
LANGUAGES = ("en", "es")
PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    FRAME: frozenset({"events", "organization"}),
    **{event: frozenset({"date"}) for event in EVENTS},
}
"""Which placeholders a template may use; none of them says anything about health."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Templates:
    """Hold the text of each template in each language."""

    texts: Mapping[str, Mapping[str, str]]

    def language(self, wanted: str | None, otherwise: str) -> str:
        """Return the language to write in: the wanted one where every template has it."""
        for language in (wanted, otherwise):
            if language and all(language in texts for texts in self.texts.values()):
                return language
        return LANGUAGES[0]

    def render(self, name: str, language: str, values: Mapping[str, str]) -> str:
        """Return a template with its placeholders filled; what is filled in is taken as it is."""
        return _PLACEHOLDER.sub(lambda found: values[found[1]], self.texts[name][language])


def load_templates(folder: Path) -> tuple[Templates | None, list[Diagnostic]]:
    """Read every template of a folder, with everything that is wrong in it."""
    texts: dict[str, dict[str, str]] = {}
    problems: list[Diagnostic] = []
    for name in PLACEHOLDERS:
        path = folder / f"{name}.yaml"
        if not path.is_file():
            said = f"The template '{name}' is missing."
            problems.append(Diagnostic("G010", said, path=str(path), remedy="write this file."))
            continue
        tree, found = read(path, name=f"{folder.name}/{path.name}")
        problems += found
        if tree is not None:
            texts[name], found = _texts(name, tree)
            problems += found
    return (None if problems else Templates(texts)), problems


def _texts(name: str, tree: Node) -> tuple[dict[str, str], list[Diagnostic]]:
    texts: dict[str, str] = {}
    problems: list[Diagnostic] = []
    if not tree.is_map:
        said = "A template is a text for each language."
        return {}, [Diagnostic("G011", said, place=tree.place, expected="en: text, es: text")]
    for language, place, node in tree.items():
        if not isinstance(node.value, str) or not re.fullmatch(r"[a-z]{2,3}", language):
            said = "A template is a text under the code of its language."
            problems.append(Diagnostic("G011", said, place=place, expected="en: text"))
            continue
        texts[language] = node.value
        problems += _unknown(name, node)
    for language in LANGUAGES:
        if language not in texts:
            said = f"The template '{name}' has no text in '{language}'."
            problems.append(
                Diagnostic("G010", said, place=tree.place, expected=f"{language}: text")
            )
    return texts, problems


def _unknown(name: str, node: Node) -> list[Diagnostic]:
    """Say which placeholders of a text mean nothing here."""
    known = PLACEHOLDERS[name]
    text = str(node.value)
    found = [one for one in _PLACEHOLDER.findall(text) if one not in known]
    problems = [
        Diagnostic(
            "G012",
            "This template has a placeholder that means nothing.",
            place=node.place,
            expected=" | ".join(f"{{{one}}}" for one in sorted(known)),
            remedy=did_you_mean(one, known) if _NAME.fullmatch(one) else None,
        )
        for one in found
    ]
    rest = _PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        said = "This template has a brace that belongs to no placeholder."
        problems.append(Diagnostic("G012", said, place=node.place))
    missing = name == FRAME and "events" not in _PLACEHOLDER.findall(text)
    if missing:
        said = "The notice does not say what happened."
        problems.append(Diagnostic("G012", said, place=node.place, expected="{events}"))
    return problems
