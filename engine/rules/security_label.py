"""Security labels: their systems, the order of confidentiality, what stands under what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from engine.message import Resource
from engine.rules.consent.codings import (
    ACT_CODE,
    ACT_REASON,
    CONFIDENTIALITY,
    OBSERVATION_VALUE,
    spelling,
)

INLINE_LABEL = (
    "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
)
"""The extension that labels one element instead of a whole resource (HL7 FHIR DS4P)."""

_LOW_TO_HIGH = ("U", "L", "M", "N", "R", "V")
RANK: Mapping[str, int] = MappingProxyType({code: rank for rank, code in enumerate(_LOW_TO_HIGH)})
"""Confidentiality from low to high: a label covers itself and what is lower."""

PARENT: Mapping[str, str] = MappingProxyType(
    {
        "BH": "SPI",
        "MH": "SPI",
        "PSY": "SPI",
        "PSYTHPN": "SPI",
        "SUD": "SPI",
        "COGN": "BH",
        "DVD": "BH",
        "EMOTDIS": "BH",
        "ETHUD": "SUD",
        "OPIOIDUD": "SUD",
    }
)
"""Which sensitivity code stands under which (v3-ActCode, _ActInformationSensitivityPolicy)."""

HANDLING = frozenset(
    {
        "CPLYCD",
        "CPLYPOL",
        "DELAU",
        "NODSCLCD",
        "NODSCLCDS",
        "NORDSCLCD",
        "NORDSCLCDS",
        "NORDSCLW",
        "NOREUSE",
        "PROCESSINLINELABEL",
        "PERSISTLABEL",
    }
)
"""Codes of v3-ActCode that say how to handle content, and nothing about what it is."""

Label = tuple[str, str]
"""System and code."""


def labels_in(codings: Any) -> frozenset[Label]:
    """Return the labels among security codings that say what the content is.

    Purposes of use (v3-ActReason), marks such as REDACTED (v3-ObservationValue) and handling
    instructions are no labels of content.
    """
    found = [label_of(one) for one in codings or () if isinstance(one, dict) and one.get("code")]
    return frozenset([one for one in found if _says_what(*one)]) if found else _NONE


_NONE: frozenset[Label] = frozenset()


def label_of(coding: Mapping[str, Any]) -> Label:
    """Return system and code of a Coding, each known system in its one spelling."""
    system, code = coding.get("system"), coding.get("code")
    if isinstance(system, str | None) and isinstance(code, str):
        return _label(system, code)
    return spelling(str(system or "")), str(code or "").strip()


@lru_cache(maxsize=8192)
def _label(system: str | None, code: str) -> Label:
    return spelling(system or ""), code.strip()


def _says_what(system: str, code: str) -> bool:
    if system in (ACT_REASON, OBSERVATION_VALUE):
        return False
    return not (system == ACT_CODE and code in HANDLING)


def resource_labels(resource: Resource) -> frozenset[Label]:
    """Return the labels that a resource carries in `meta.security`."""
    meta = resource.get("meta")
    return labels_in(meta.get("security")) if isinstance(meta, dict) else _NONE


def inline_labels(element: Any) -> frozenset[Label]:
    """Return the labels that one element carries in its inline-label extensions."""
    if not isinstance(element, dict) or "extension" not in element:
        return _NONE
    return labels_in(
        [
            extension.get("valueCoding")
            for extension in element["extension"] or ()
            if isinstance(extension, dict) and extension.get("url") == INLINE_LABEL
        ]
    )


def confidentiality(labels: Iterable[Label]) -> str | None:
    """Return the highest confidentiality among the labels, or None where there is none."""
    codes = [code for system, code in labels if system == CONFIDENTIALITY and code in RANK]
    return codes[0] if len(codes) == 1 else max(codes, key=RANK.__getitem__, default=None)


def ancestors(code: str) -> Iterator[str]:
    """Yield a sensitivity code and everything that it stands under."""
    seen: str | None = code
    while seen is not None:
        yield seen
        seen = PARENT.get(seen)


def coding(label: Label) -> dict[str, str]:
    """Return a label as a Coding."""
    system, code = label
    return {"system": system, "code": code} if system else {"code": code}


def in_order(labels: Iterable[Label]) -> list[dict[str, str]]:
    """Return labels as Codings: highest confidentiality first, then by system and code."""

    def place(label: Label) -> tuple[int, str, str]:
        rank = RANK.get(label[1], -1) if label[0] == CONFIDENTIALITY else -2
        return (-rank, *label)

    return [coding(label) for label in sorted(labels, key=place)]
