"""The switches of the consent decision: one frozen value, handed in, never global."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import structs

from engine.diagnostics import Diagnostic, did_you_mean
from engine.rules.consent.codings import Key

CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "default": ("deny", "permit"),
        "nested_type": ("explicit", "invert"),
        "nested_purpose": ("own", "within_root"),
        "combine": ("deny-overrides", "newest", "any-permit"),
        "signature": ("required", "when-stated", "ignored"),
        "grantor": ("required", "ignored"),
        "absent_purpose": ("no-match", "match"),
        "several_purposes": ("all", "any"),
        "partial_recipients": ("reject", "drop"),
        "unlabelled": ("withhold", "pass"),
    }
)
"""The values of each switch, the default first."""

PER_CATEGORY = (
    "nested_type",
    "nested_purpose",
    "signature",
    "grantor",
    "absent_purpose",
    "several_purposes",
    "majority_age",
)
"""The switches about one consent; the others are about the decision as a whole."""


@dataclass(frozen=True)
class Policy:
    """Hold the switches of one consent decision; the defaults are the safe ones.

    default: what holds when no consent applies (permit is for opt-out exchanges, per route).
    nested_type: a nested provision means its own type, or always the inverse of its parent.
    nested_purpose: a nested provision may grant a purpose its root does not list, or may not.
    combine: deny overrides; the newest consent that applies decides; any permit is enough.
    signature: evidence of signing is needed; only counts against where it says so; is not read.
    grantor: the signer must be the member or have authority over the member; is not read.
    absent_purpose: a rule that lists purposes does not permit, or does, where none was asked.
    several_purposes: a permit must cover all purposes asked, or one.
    partial_recipients: one recipient that does not pass stops all, or is dropped and recorded.
    unlabelled: content without label under a rule about labels is withheld, or passes.
    zone: IANA name of the time zone of dates that state none.
    majority_age: the age in years at which a guardian's or parent's consent stops.
    version: free text that names this policy in the record.
    by_category: the policy under which consents of a category are read, in order of precedence;
        a category is a code, or `system|code`.
    """

    default: str = "deny"
    nested_type: str = "explicit"
    nested_purpose: str = "own"
    combine: str = "deny-overrides"
    signature: str = "required"
    grantor: str = "required"
    absent_purpose: str = "no-match"
    several_purposes: str = "all"
    partial_recipients: str = "reject"
    unlabelled: str = "withhold"
    zone: str = "UTC"
    majority_age: int = 18
    version: str | None = None
    by_category: tuple[tuple[str, Policy], ...] = ()

    @classmethod
    def parse(cls, given: object) -> tuple[Policy | None, list[Diagnostic]]:
        """Read a policy from plain data (a mapping, or None for the default).

        The answer is the policy, or None with every problem found; a `-` in a key is read as `_`.
        """
        if given is None:
            return DEFAULT, []
        if isinstance(given, Policy):
            return given, []
        if not isinstance(given, Mapping):
            return None, [
                Diagnostic(
                    "consent-policy",
                    "The consent policy is not a mapping.",
                    path="policy",
                    expected="a mapping from switch to value",
                )
            ]
        values = {str(key).replace("-", "_"): value for key, value in given.items()}
        problems = [problem for key in values for problem in _problems(key, values[key])]
        if problems:
            return None, problems
        categories = values.pop("by_category", None) or {}
        return cls(**values).with_categories(categories), []

    def with_categories(self, categories: Mapping[str, Mapping[str, Any]]) -> Policy:
        """Return this policy with other switches for the consents of some categories."""
        if not categories:
            return self
        plain = replace(self, by_category=())
        read = (
            (str(name), replace(plain, **{str(k).replace("-", "_"): v for k, v in given.items()}))
            for name, given in categories.items()
        )
        return replace(self, by_category=tuple(read))

    def for_category(self, categories: Iterable[Key]) -> Policy:
        """Return the policy under which a consent of these categories is read."""
        for name, policy in self.by_category:
            system, bar, code = name.rpartition("|")
            if any(key.code == code and (not bar or key.system == system) for key in categories):
                return policy
        return self

    def to_json(self) -> dict[str, Any]:
        """Return every switch with its value, as plain data; of categories what differs."""
        return dict(self._written)

    @cached_property
    def _written(self) -> dict[str, Any]:
        out = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "by_category" and (field.name != "version" or self.version is not None)
        }
        differing = {
            name: {k: v for k, v in policy.to_json().items() if v != out.get(k)}
            for name, policy in self.by_category
        }
        return out | ({"by_category": differing} if differing else {})


def category_problems(switches: Mapping[str, Any], path: str) -> Iterable[Diagnostic]:
    """Yield what is wrong with the switches of one category; paths start with `path`."""
    for key, value in switches.items():
        name = str(key).replace("-", "_")
        found = _problems(name, value) if name in PER_CATEGORY else [_not_per_category(name)]
        for problem in found:
            yield structs.replace(problem, path=f"{path}.{key}")


def _not_per_category(key: str) -> Diagnostic:
    return Diagnostic(
        "consent-policy",
        f"'{key}' cannot be set for one category of consents.",
        path=key,
        expected="one of " + ", ".join(PER_CATEGORY),
        remedy=did_you_mean(key, PER_CATEGORY)
        or "set it under rules.consent.policy or for a route.",
    )


def _category_problems(value: object) -> Iterable[Diagnostic]:
    if not isinstance(value, Mapping):
        yield _wrong("by_category", "a mapping from category to switches", None)
        return
    for name, switches in value.items():
        path = f"policy.by_category.{name}"
        if isinstance(switches, Mapping):
            yield from category_problems(switches, path)
        else:
            problem = _wrong("by_category", "a mapping of switches for each category", None)
            yield structs.replace(problem, path=path)


def _problems(key: str, value: object) -> Iterable[Diagnostic]:
    known = [field.name for field in fields(Policy)]
    if key == "by_category":
        yield from _category_problems(value)
    elif key not in known:
        yield Diagnostic(
            "consent-policy",
            f"The consent policy has no switch '{key}'.",
            path=f"policy.{key}",
            expected="one of " + ", ".join(known),
            remedy=did_you_mean(key, known),
        )
    elif key in CHOICES and value not in CHOICES[key]:
        yield _wrong(
            key, "one of " + ", ".join(CHOICES[key]), did_you_mean(str(value), CHOICES[key])
        )
    elif key == "zone" and not (isinstance(value, str) and known_zone(value)):
        yield _wrong(key, "UTC or an IANA time zone name such as Europe/Berlin", None)
    elif key == "majority_age" and not (type(value) is int and 0 < value < 100):
        yield _wrong(key, "a whole number of years from 1 to 99", None)
    elif key == "version" and not isinstance(value, str | None):
        yield _wrong(key, "text", None)


def _wrong(key: str, expected: str, remedy: str | None) -> Diagnostic:
    said = f"The switch '{key}' of the consent policy has a value that it does not know."
    return Diagnostic(
        "consent-policy", said, path=f"policy.{key}", expected=expected, remedy=remedy
    )


@lru_cache(maxsize=64)
def known_zone(name: str) -> bool:
    """Tell whether `name` is a time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


DEFAULT = Policy()
"""Every switch at its safe default."""
