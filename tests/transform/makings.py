"""Small mappings folders for tests, written from a whole CareTeam mapping with changes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from engine.transform.adapter import Adapter
from engine.transform.load import Folder, load_folder

HEAD = """\
mapping: home/careteam
version: 1
dialect:   {fhir: R4, resource: CareTeam}
canonical: {fhir: R4, resource: CareTeam}
extension: copy
modifierExtension: reject
primitive_extensions: copy
"""
WHOLE = (
    "id meta implicitRules language text contained identifier status category name subject "
    "encounter period participant reasonCode reasonReference managingOrganization telecom note"
)
FIELDS: Mapping[str, str] = dict.fromkeys(WHOLE.split(), "copy")
TABLE = """\
dialect_system,dialect,canonical_system,canonical,canonical_display,relationship,preferred
http://d.example,a,http://c.example,1,One,,
http://d.example,b,http://c.example,2,Two,wider,to_dialect
http://d.example,c,http://c.example,2,Two,wider,
"""
STATUS = """\
table: status
rows:
  - {dialect: active, canonical: active}
  - {dialect: inactive, canonical: inactive, preferred: to_dialect}
  - {dialect: suspended, canonical: inactive}
"""

KIN = """\
siblings:
  one: participant
  by: [member, role]
  same: subject
  left: "status = 'entered-in-error'"
  ended: {when: "status = 'inactive'", until: period.end}
  closing: {status: inactive}
  others:
    meta: labels
    implicitRules: agree
    language: common
    text: own
    contained: collect
    extension: union
    modifierExtension: agree
    identifier: collect
    status: {first: [active, suspended, inactive, proposed, entered-in-error]}
    category: union
    name: common
    encounter: common
    period: widest
    reasonCode: union
    reasonReference: union
    managingOrganization: union
    telecom: union
    note: union
"""


def mapping(
    changes: Mapping[str, str | None] | None = None, head: str = HEAD, tail: str = ""
) -> str:
    """Return the text of a mapping; a change of None leaves the field out."""
    fields = {**FIELDS, **(changes or {})}
    lines = (
        f"  {name}:{value if value.startswith(chr(10)) else ' ' + value}"
        for name, value in fields.items()
        if value is not None
    )
    return f"{head}fields:\n" + "\n".join(lines) + f"\n{tail}"


def under(text: str, indent: int = 4) -> str:
    """Return a nested value: it starts on a line of its own."""
    return "\n" + textwrap.indent(textwrap.dedent(text).strip("\n"), " " * indent)


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write files into a mappings folder and return it."""
    folder = root / "mappings"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def load(root: Path, text: str, more: Mapping[str, str] | None = None) -> Folder:
    """Load one mapping, home/careteam, with the tables `role` and `status` beside it."""
    files = {"home/careteam.yaml": text, "tables/role.csv": TABLE, "tables/status.yaml": STATUS}
    return load_folder(write(root, {**files, **(more or {})}))


def adapter(root: Path, text: str, more: Mapping[str, str] | None = None) -> Adapter:
    """Return the adapter of one mapping that has no problem."""
    folder = load(root, text, more)
    assert not folder.problems, "\n".join(problem.text() for problem in folder.problems)
    loaded = folder.mappings["home/careteam"]
    assert loaded.plan is not None
    return Adapter(loaded, loaded.plan)
