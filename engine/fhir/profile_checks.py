"""The checks that a profile compiles to: one closure per element that it constrains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import fhirpathpy

from engine.diagnostics import Diagnostic, Severity, did_you_mean
from engine.fhir.references import reference_type
from engine.fhir.schema import Schema
from engine.fhir.value_sets import Pair, ValueSets

Check = Callable[[Any, str, "Report"], None]
"""Look at one value (an object, or a primitive), given its path, and report."""
Matcher = Callable[[Any], bool]
"""Look at one value and tell."""


@dataclass
class Report:
    """Gather what one profile finds in one resource."""

    profile: str
    must_support: bool
    problems: list[Diagnostic]

    def add(
        self,
        code: str,
        said: str,
        path: str,
        expected: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        message = f"{said} (profile {self.profile})."
        self.problems.append(Diagnostic(code, message, severity, path=path, expected=expected))


@dataclass
class Node:
    """Hold what a profile says of one element or slice; `path` is that of the base type."""

    name: str
    path: str
    slice: str | None = None
    definition: Mapping[str, Any] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    slices: list[Node] = field(default_factory=list)
    compiled: Check | None = None
    quiet: Matcher | None = None

    @property
    def min(self) -> int:
        return int(self.definition.get("min", 0))

    @property
    def max(self) -> int | None:
        """Return the most values allowed, or None where the profile sets no limit."""
        text = str(self.definition.get("max", "*"))
        return int(text) if text.isdigit() else None

    @property
    def must_support(self) -> bool:
        return self.definition.get("mustSupport") is True

    def child(self, name: str) -> Node | None:
        return next((node for node in self.children if node.name == name), None)

    def starting(self, prefix: str) -> Any:
        """Return the value of fixed[x] or pattern[x], or None."""
        return next((v for k, v in self.definition.items() if _is_choice(k, prefix)), None)


def _is_choice(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key[len(prefix) : len(prefix) + 1].isupper()


@dataclass(frozen=True)
class Scope:
    """Hold what the checks of one profile look things up in."""

    schema: Schema
    value_sets: ValueSets
    warn: frozenset[str] = frozenset()

    def bound(self, node: Node) -> frozenset[Pair] | None:
        """Return the codes of a required binding that can be listed."""
        binding = node.definition.get("binding")
        if not isinstance(binding, dict) or binding.get("strength") != "required":
            return None
        return self.value_sets.codes(str(binding.get("valueSet", "")))

    def unlisted(self, root: Node) -> Iterator[str]:
        """Yield a sentence for each required value set whose codes cannot be checked."""
        for node in _all(root):
            binding = node.definition.get("binding")
            if not isinstance(binding, dict) or binding.get("strength") != "required":
                continue
            element = self.schema.element(node.path)
            if self.bound(node) is None and not (element and element.codes):
                yield f"The codes required at {node.path} are not checked: no list of them."


def _all(node: Node) -> Iterator[Node]:
    yield node
    for inner in (*node.children, *node.slices):
        yield from _all(inner)


def build(
    kind: str, definitions: Sequence[Any], scope: Scope
) -> tuple[Node, list[tuple[int, str]]]:
    """Return the tree of a differential, and by index what in it cannot be understood."""
    root = Node(kind, kind)
    refused: list[tuple[int, str]] = []
    for index, definition in enumerate(definitions):
        if not isinstance(definition, dict) or not isinstance(definition.get("path"), str):
            refused.append((index, "An element of the profile has no path."))
            continue
        steps = str(definition.get("id") or definition["path"]).split(".")
        said = _unknown(definition["path"], kind, scope.schema)
        if said:
            refused.append((index, said))
        else:
            _node_at(root, steps[1:]).definition = definition
    return root, refused


def _node_at(node: Node, steps: Sequence[str]) -> Node:
    for step in steps:
        name, _, slice_name = step.partition(":")
        found = node.child(name)
        if found is None:
            found = Node(name, f"{node.path}.{name}")
            node.children.append(found)
        node = found
        if slice_name:
            inner = next((s for s in node.slices if s.slice == slice_name), None)
            if inner is None:
                inner = Node(name, node.path, slice_name)
                node.slices.append(inner)
            node = inner
    return node


def _unknown(path: str, kind: str, known: Schema) -> str | None:
    """Return why a path does not exist in the base type, or None where it does."""
    steps = path.split(".")
    if steps[0] != kind:
        return f"The path does not start with {kind}."
    here = kind
    for step in steps[1:]:
        if here == "Resource" or not known.has(here):
            return None
        found = known.type(here)
        element = found.elements.get(step)
        if element is None:
            if step in found.choices():
                return None
            near = did_you_mean(step, [*found.elements, *found.choices()])
            return f"{here} has no element '{step}'" + (f", {near}" if near else ".")
        here = element.type
    return None


def compile_node(node: Node, scope: Scope) -> Check:
    """Return the check of one node, compiled on first use and kept."""
    if node.compiled is None:
        node.compiled = _compile(node, scope)
    return node.compiled


def _compile(node: Node, scope: Scope, is_told: bool = False) -> Check:
    """Compile a node; `is_told` says that its values are known to be what it fixes."""
    checks = list(_own_checks(node, scope, is_told))
    checks += [_member(child, scope) for child in node.children]
    if not checks:
        return _nothing

    def check(value: Any, path: str, report: Report) -> None:
        for one in checks:
            one(value, path, report)

    return check


def _nothing(value: Any, path: str, report: Report) -> None:
    """Be the check of a node that says nothing of its values but how many there are."""


def _own_checks(node: Node, scope: Scope, is_told: bool) -> Iterator[Check]:
    fixed, pattern = node.starting("fixed"), node.starting("pattern")
    if fixed is not None and not is_told:
        yield _fixed(fixed)
    if pattern is not None and not is_told:
        yield _patterned(pattern)
    codes = scope.bound(node)
    if codes is not None:
        yield _bound(codes)
    targets = targets_of(node, scope)
    if targets:
        yield _targeted(targets)
    for constraint in node.definition.get("constraint", ()):
        if isinstance(constraint, dict) and constraint.get("expression"):
            yield _invariant(constraint, scope.warn)


def _fixed(fixed: Any) -> Check:
    def check(value: Any, path: str, report: Report) -> None:
        if value != fixed:
            report.add("V022", "The value is not the one that is fixed", path, _shown(fixed))

    return check


def _patterned(pattern: Any) -> Check:
    holds = matching(pattern)

    def check(value: Any, path: str, report: Report) -> None:
        if not holds(value):
            report.add("V022", "The value does not have the pattern", path, _shown(pattern))

    return check


def matching(pattern: Any) -> Matcher:
    """Return what tells whether a value holds all of a pattern (ElementDefinition.pattern[x])."""
    if isinstance(pattern, dict):
        members = [_holding(name, matching(part)) for name, part in pattern.items()]
        return both(lambda value: isinstance(value, dict), *members)
    if isinstance(pattern, list):
        parts = [_having(matching(part)) for part in pattern]
        return both(lambda value: isinstance(value, list), *parts)
    return lambda value: bool(value == pattern)


def _holding(name: str, part: Matcher) -> Matcher:
    return lambda value: name in value and part(value[name])


def _having(part: Matcher) -> Matcher:
    return lambda value: any(map(part, value))


def both(*matchers: Matcher) -> Matcher:
    """Return what tells whether all of some matchers, asked in order, say yes."""
    return reduce(_two, matchers) if matchers else lambda _: True


def _two(first: Matcher, then: Matcher) -> Matcher:
    return lambda value: first(value) and then(value)


def _shown(value: Any) -> str:
    """Return a fixed value of the profile for people: its codes, or the text itself."""
    if isinstance(value, dict):
        return ", ".join(_shown(part) for part in value.values())
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def among(codes: frozenset[Pair]) -> Matcher:
    """Return what tells whether a code, Coding or CodeableConcept is among some codes."""
    bare = frozenset(code for _, code in codes) | {f"{system}#{code}" for system, code in codes}

    def holds(value: Any) -> bool:
        if isinstance(value, str):
            return value in bare
        if isinstance(value, dict) and "coding" in value:
            return any(holds(coding) for coding in value["coding"])
        return isinstance(value, dict) and (value.get("system", ""), value.get("code")) in codes

    return holds


def _bound(codes: frozenset[Pair]) -> Check:
    holds = among(codes)

    def check(value: Any, path: str, report: Report) -> None:
        if not holds(value):
            listed = sorted({code for _, code in codes})
            shown = ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")
            report.add("V023", "The code is not in the value set", path, f"one of {shown}")

    return check


def targets_of(node: Node, scope: Scope) -> frozenset[str]:
    """Return the resource types that a Reference is narrowed to, where their names tell."""
    profiles = [
        str(profile)
        for kind in node.definition.get("type", ())
        if isinstance(kind, dict) and kind.get("code") == "Reference"
        for profile in kind.get("targetProfile", ())
    ]
    names = [_type_named(profile, scope.schema) for profile in profiles]
    return frozenset(name for name in names if name) if all(names) else frozenset()


def _type_named(profile: str, known: Schema) -> str | None:
    last = profile.split("|", 1)[0].rsplit("/", 1)[-1]
    folded = {name.casefold(): name for name in known.resources}
    return folded.get(last.casefold()) or folded.get(last.rsplit("-", 1)[-1].casefold())


def _targeted(targets: frozenset[str]) -> Check:
    def check(value: Any, path: str, report: Report) -> None:
        kind = reference_type(value) if isinstance(value, dict) else None
        if kind is not None and kind not in targets:
            expected = "a reference to " + ", ".join(sorted(targets))
            report.add("V026", "The reference points to another type", path, expected)

    return check


def _invariant(constraint: Mapping[str, Any], warn: frozenset[str]) -> Check:
    key = str(constraint.get("key", ""))
    severe = constraint.get("severity", "error") == "error" and key not in warn
    severity = Severity.ERROR if severe else Severity.WARNING
    human = str(constraint.get("human", "")) or None
    evaluate: list[Any] = []

    def holds(value: Any) -> bool:
        if not evaluate:
            evaluate.append(fhirpathpy.compile(str(constraint["expression"])))
        return evaluate[0](value) in ([True], [])

    def check(value: Any, path: str, report: Report) -> None:
        try:
            if not holds(value):
                report.add("V025", f"The invariant {key} does not hold", path, human, severity)
        except Exception:  # fhirpathpy raises bare exceptions for what it cannot do
            said = f"The invariant {key} cannot be evaluated"
            report.add("V025", said, path, human, severity)

    return check


def _member(node: Node, scope: Scope) -> Check:
    """Return the check of one element of an object: how many values, each of them, its slices."""
    names = json_names(node, scope)
    inner = compile_node(node, scope)
    slices = list(_slices(node, scope))
    least, most, must_support = node.min, node.max, node.must_support
    closed = (node.definition.get("slicing") or {}).get("rules") == "closed"
    name, beside = names[0], f"_{names[0]}"
    only_counted = inner is _nothing and not slices and len(names) == 1

    def is_quiet(value: Any, report: Report) -> bool:
        """Tell in the usual case that there is nothing to say, without building any path."""
        if type(value) is not dict or beside in value:
            return False
        found = value.get(name)
        if found is None:
            return not (least or slices or (must_support and report.must_support))
        if not only_counted:
            return False
        count = len(found) if type(found) is list else 1
        return least <= count and (most is None or count <= most) and count > 0

    def check(value: Any, path: str, report: Report) -> None:
        if len(names) == 1 and is_quiet(value, report):
            return
        found = list(_values(value, names, path))
        where = f"{path}.{name}" if len(names) == 1 else f"{path}.{node.name}"
        if len(found) < least:
            report.add("V020", "There are too few values", where, f"at least {least}")
        elif not found and must_support and report.must_support:
            said = "A must-support element is absent"
            report.add("V024", said, where, severity=Severity.INFORMATION)
        if most is not None and len(found) > most:
            report.add("V021", "There are too many values", where, f"at most {most}")
        for item, item_path in found:
            if item is not None:
                inner(item, item_path, report)
        taken = [one(found, where, report) for one in slices]
        if closed and slices and not all(any(at) for at in zip(*taken, strict=True)):
            report.add("V021", "A value belongs to no slice", where, "only the slices named")

    return check


def json_names(node: Node, scope: Scope) -> list[str]:
    """Return under which names the values of an element stand: those of a choice are several."""
    if not node.name.endswith("[x]"):
        return [node.name]
    parent = node.path.rsplit(".", 1)[0]
    element = scope.schema.element(parent) if "." in parent else None
    kind = element.type if element else parent
    variants = scope.schema.type(kind).choices().get(node.name, ())
    allowed = {item.get("code") for item in node.definition.get("type", ())}
    return [v.name for v in variants if not allowed or v.type in allowed] or [node.name[:-3]]


def _values(value: Any, names: Sequence[str], path: str) -> Iterator[tuple[Any, str]]:
    """Yield value and path of each occurrence; an extension beside a primitive counts too."""
    if not isinstance(value, dict):
        return
    for name in names:
        found = value.get(name, value.get(f"_{name}"))
        has_value = name in value
        if isinstance(found, list):
            for index, item in enumerate(found):
                yield item if has_value else None, f"{path}.{name}[{index}]"
        elif found is not None:
            yield found if has_value else None, f"{path}.{name}"


Slice = Callable[[list[tuple[Any, str]], str, Report], list[bool]]


def _slices(node: Node, scope: Scope) -> Iterator[Slice]:
    for inner, is_in, is_told in slices_of(node, scope):
        yield _slice(inner, is_in, scope, is_told)


def slices_of(node: Node, scope: Scope) -> Iterator[tuple[Node, Matcher, bool]]:
    """Yield each slice whose values can be told, by what, and whether that is all that it fixes."""
    discriminators = (node.definition.get("slicing") or {}).get("discriminator", ())
    is_told = any(item.get("path") == "$this" for item in discriminators)
    for inner in node.slices:
        matchers = [_matcher(inner, str(item.get("path")), scope) for item in discriminators]
        told = [found for found in matchers if found is not None]
        if matchers and len(told) == len(matchers):
            yield inner, both(*told), is_told


def _slice(node: Node, is_in: Matcher, scope: Scope, is_told: bool) -> Slice:
    """Return the check of a slice; `is_told` says that `is_in` looks at all that it fixes."""
    inner = _compile(node, scope, is_told)
    least, most = node.min, node.max

    def check(found: list[tuple[Any, str]], where: str, report: Report) -> list[bool]:
        taken = [is_in(item) for item, _ in found]
        count = taken.count(True)
        if count < least:
            report.add("V020", f"The slice {node.slice} is missing", where, _told(node, least))
        if most is not None and count > most:
            shown = f"{where}:{node.slice}"
            report.add("V021", f"The slice {node.slice} repeats", shown, f"at most {most}")
        for (item, path), is_taken in zip(found, taken, strict=True):
            if is_taken:
                inner(item, path, report)
        return taken

    return check


def _told(node: Node, least: int) -> str:
    pattern = node.starting("pattern") or node.starting("fixed")
    return f"at least {least}" + (f" with {_shown(pattern)}" if pattern is not None else "")


def _matcher(node: Node, path: str, scope: Scope) -> Matcher | None:
    """Return what tells a value of a slice by one discriminator, or None where nothing does."""
    steps = [] if path == "$this" else path.split(".")
    here: Node | None = node
    for step in steps:
        here = here.child(step) if here else None
    if here is None:
        return None
    expected = _expectation(here, scope)
    if expected is None:
        return None
    if not steps:
        return expected
    return lambda value: any(expected(item) for item in _reach(value, steps))


def _expectation(node: Node, scope: Scope) -> Matcher | None:
    fixed, pattern = node.starting("fixed"), node.starting("pattern")
    if fixed is not None:
        return lambda value: bool(value == fixed)
    if pattern is not None:
        return matching(pattern)
    codes = scope.bound(node)
    return None if codes is None else among(codes)


def _reach(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    if not steps:
        yield value
    elif isinstance(value, dict) and steps[0] in value:
        found = value[steps[0]]
        for item in found if isinstance(found, list) else [found]:
            yield from _reach(item, steps[1:])
