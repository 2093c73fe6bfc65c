"""Diagnostic codes of the mapping room: M for files that analysts write, T for messages."""

from __future__ import annotations

from engine.codes import Code

_FILES: tuple[tuple[str, str, str, str], ...] = (
    (
        "M001",
        "A key that the format does not have",
        "structure",
        "Every key of a mapping, table or case file is known; a key that is not would be ignored "
        "in silence, so it is refused. Correct the spelling, or see docs/mapping-reference.md.",
    ),
    (
        "M002",
        "A key is missing",
        "required",
        "The file lacks a key that it needs, for example `version: 1` at the top of a mapping.",
    ),
    (
        "M003",
        "A value has the wrong shape",
        "structure",
        "A list stands where a text belongs, or the like. The line 'expected' says what belongs.",
    ),
    (
        "M004",
        "The name does not match the file",
        "invalid",
        "`mapping: us-core/careteam` belongs in mappings/us-core/careteam.yaml and nowhere else, "
        "so that a name in a log leads to its file. The same holds for `table:`.",
    ),
    (
        "M005",
        "A FHIR version or type that does not exist",
        "not-supported",
        "`fhir:` is R4 or R5, and `resource:` a resource type of that version.",
    ),
    (
        "M006",
        "A dialect path that does not exist",
        "not-found",
        "The path on the left names an element that the dialect's FHIR type does not have. It "
        "would never match anything. Correct the spelling.",
    ),
    (
        "M007",
        "A canonical path that does not exist",
        "not-found",
        "The path in `to:`, `canonical_only:`, `constants:` or `defaults:` names an element that "
        "the type does not have, so what it writes would be no FHIR.",
    ),
    (
        "M008",
        "An element that the mapping does not mention",
        "incomplete",
        "Every element of both types is mapped, carried or dropped for a written reason, so that "
        "nothing is lost in silence. Paste the lines that the remedy gives and change them.",
    ),
    (
        "M009",
        "A policy is missing",
        "required",
        "`extension`, `modifierExtension` and `primitive_extensions` are stated by every mapping: "
        "they may hold what changes the meaning of everything beside them.",
    ),
    (
        "M010",
        "A list meets a single element",
        "multiple-matches",
        "One side repeats and the other does not. Say `first: true` together with `rest: carry` "
        "or `rest: {drop: why}`, so that the items behind the first have a home.",
    ),
    (
        "M011",
        "Types that do not fit",
        "invalid",
        "The element's type on one side cannot be copied to the type on the other. Map its inner "
        "elements with `fields:`, use a table or a function, or carry it.",
    ),
    (
        "M012",
        "Two rules write the same element",
        "conflict",
        "The second would overwrite the first in silence. Send one of them elsewhere, or join "
        "them with `split:` read backwards.",
    ),
    (
        "M013",
        "A required element that nothing produces",
        "required",
        "The target must have this element, and no rule, constant or default writes it, so no "
        "result could ever be valid.",
    ),
    (
        "M014",
        "A table that does not exist",
        "not-found",
        "`coding:` and `table:` name a file of mappings/tables/ without its ending.",
    ),
    (
        "M015",
        "An operation that does not exist",
        "not-supported",
        "The operations are listed in docs/mapping-reference.md.",
    ),
    (
        "M016",
        "Brackets that do not match the element",
        "structure",
        "`participant[]` means each item of a list. Write `[]` before `fields:` on a list, and "
        "leave it away on a single element.",
    ),
    (
        "M017",
        "A reason is missing",
        "required",
        "What is dropped is dropped for a reason that the next reader can judge: "
        "`meta.tag: {drop: server bookkeeping}`.",
    ),
    (
        "M018",
        "What to do with an unknown code is not stated",
        "required",
        "Each use of a table says `on_miss: reject | keep-source | text-only | default: ...`.",
    ),
    (
        "M019",
        "The rest has no home",
        "required",
        "`split`, `first` and `when` let some values pass and need `rest:` or `otherwise:` for "
        "the others: carry, reject or {drop: why}.",
    ),
    (
        "M020",
        "A condition that is not read",
        "not-supported",
        "Conditions use a small part of FHIRPath: dotted names, where(k = 'v'), exists(), "
        "ofType(), first(), =, !=, and, or, not(). Anything else is refused by name.",
    ),
    (
        "M021",
        "A table that cannot be read",
        "structure",
        "The file is no CSV, YAML or ConceptMap in the shape of docs/mapping-reference.md, or it "
        "is too large.",
    ),
    (
        "M022",
        "Rows that collapse without a preferred one",
        "multiple-matches",
        "Several rows share one code, so the other direction has to choose: mark one of them "
        "`preferred: to_dialect` (or `to_canonical`).",
    ),
    (
        "M023",
        "A cell that looks like a formula",
        "security",
        "A cell that begins with =, +, - or @ would run as a formula when the table is opened in "
        "a spreadsheet. No code begins so.",
    ),
    (
        "M024",
        "The same row twice",
        "duplicate",
        "Two rows give the same pair of codes. Remove one.",
    ),
    (
        "M025",
        "A mapping that cannot be extended",
        "not-found",
        "`extends:` names a mapping that does not exist, or leads back to itself.",
    ),
    (
        "M026",
        "A function that does not exist",
        "not-found",
        "`function:` names a pair of engine/transform/functions.py. A mapping cannot bring code.",
    ),
    (
        "M027",
        "An expression that is not read",
        "not-supported",
        "The FHIRPath expression does not parse, or it uses a name that is not open to mappings.",
    ),
    (
        "M028",
        "A constant or default that does not fit",
        "invalid",
        "The value under `constants:` or `defaults:` has not the shape of its element.",
    ),
    (
        "M029",
        "Options that do not go together",
        "conflict",
        "A field has one main operation, and only the options of that operation.",
    ),
    (
        "M030",
        "A reference target that does not exist",
        "not-found",
        "`ref:` names a resource type that the element may point to, or `any`.",
    ),
    (
        "M031",
        "A certificate that is missing or stale",
        "conflict",
        "The certificate beside the mapping does not say what the mapping does now. Run "
        "`carelane certify`, read the diff, and commit it with the mapping.",
    ),
    (
        "M032",
        "A mapping has no cases",
        "incomplete",
        "Every mapping is proved by cases in the `.test.yaml` beside it.",
    ),
    (
        "M033",
        "A matcher that could never match",
        "not-found",
        "`expect` or `absent` names an element that the type does not have. It would pass or fail "
        "for the wrong reason.",
    ),
    (
        "M034",
        "A case failed",
        "processing",
        "The result differs from what the case expects. Lines with - are expected, with + are "
        "what came.",
    ),
    (
        "M035",
        "A file of a case cannot be read",
        "not-found",
        "`input: {file: ...}` is a JSON file, by its path from the test file.",
    ),
    (
        "M036",
        "A profile that is not loaded",
        "not-found",
        "`profile:` names the url of a StructureDefinition under profiles/ or of a loaded package.",
    ),
    (
        "M037",
        "A rule or table row that no case uses",
        "incomplete",
        "What no case runs may do anything. Add a case that uses it.",
    ),
    (
        "M038",
        "A code that the target does not allow",
        "code-invalid",
        "A table, constant or default gives a code outside the required value set of the element "
        "that it is written to, or a condition asks for a code that its element cannot have.",
    ),
    (
        "M039",
        "An element that siblings may say differently",
        "incomplete",
        "Where several resources of the dialect become one, `siblings: {others: ...}` says of "
        "every element how the one gets it: agree, common, union, collect, own, widest, labels or "
        "{first: [codes]}. Paste the lines that the remedy gives and change them.",
    ),
    (
        "M040",
        "A declaration of siblings that does not fit",
        "invalid",
        "`one:` names a list that a field produces, `same:` single elements that are copied or "
        "referred, `until:` an instant, and each word of `others:` fits the type of its element.",
    ),
    (
        "M041",
        "A file that nothing reads",
        "not-found",
        "A mapping is mappings/<dialect>/<resource>.yaml, its cases and certificate lie beside it, "
        "and a table is mappings/tables/<table>.yaml, .csv or .json. Under another name or ending "
        "it would be passed over in silence. Rename it, or move it elsewhere.",
    ),
    (
        "M042",
        "Two mappings for one type",
        "conflict",
        "Each type of a dialect has one mapping; of two, one would be passed over in silence.",
    ),
)

_MESSAGES: tuple[tuple[str, str, str, str], ...] = (
    (
        "T001",
        "An element that the mapping does not know",
        "not-supported",
        "The message holds an element that neither FHIR nor the mapping knows, so it would be "
        "lost. Correct the sender, or set `on_unmapped: carry`.",
    ),
    (
        "T002",
        "A code that the table does not know",
        "code-invalid",
        "No coding of the element is in the table, and the mapping says `on_miss: reject`. Add a "
        "row to the table, or choose another on_miss.",
    ),
    (
        "T003",
        "A code went across untranslated",
        "informational",
        "No coding of the element is in the table; as the mapping says, it went across as it is, "
        "as text only, or with the default.",
    ),
    (
        "T004",
        "A coding without system",
        "code-invalid",
        "A code means nothing without the system that defines it; it is not looked up.",
    ),
    (
        "T005",
        "A translation that is not equivalent",
        "informational",
        "The table says that the translation is wider, narrower or merely related.",
    ),
    (
        "T006",
        "A code outside its required value set",
        "code-invalid",
        "FHIR binds the element to a fixed list of codes, and this is none of them.",
    ),
    (
        "T007",
        "A modifier extension",
        "not-supported",
        "A modifierExtension may turn the meaning of everything beside it. The mapping says "
        "whether it is refused, carried or copied; it is never ignored.",
    ),
    (
        "T008",
        "An extension that the mapping refuses",
        "not-supported",
        "The mapping says `extension: reject`.",
    ),
    (
        "T009",
        "An extension of a primitive value",
        "informational",
        "The message says more about a primitive value in its `_name` sibling. The mapping copies "
        "it, or refuses it with `primitive_extensions: reject`.",
    ),
    (
        "T010",
        "A reference to a type that does not belong here",
        "invalid",
        "The mapping lists the types that the element may point to, and this is none of them.",
    ),
    (
        "T011",
        "A value that contradicts a constant",
        "conflict",
        "The mapping writes a constant to this element in the other direction; another value "
        "has no home on this side.",
    ),
    (
        "T012",
        "An expression gave more than one value",
        "multiple-matches",
        "The element is single, and the expression found several values.",
    ),
    (
        "T013",
        "A value of the wrong shape",
        "structure",
        "A list stands where an object belongs, or the like. The validator says more.",
    ),
    (
        "T014",
        "Another resource type",
        "invalid",
        "The adapter was given a resource of another type than its mapping is for.",
    ),
    (
        "T015",
        "An element was carried",
        "informational",
        "The element has no home on the other side and travels in a Carelane extension.",
    ),
    (
        "T016",
        "An element was dropped",
        "informational",
        "The mapping drops the element for the reason that it states.",
    ),
    (
        "T017",
        "A default was written",
        "informational",
        "The message had no value here, and the mapping states a default.",
    ),
    (
        "T018",
        "A value was normalised",
        "informational",
        "A registered function changed the value; the original is remembered for the way back.",
    ),
    (
        "T019",
        "A value that the mapping refuses",
        "not-supported",
        "The condition of the rule does not hold and it says `otherwise: reject`, or more items "
        "came than the other side takes and it says `rest: reject`.",
    ),
    (
        "T020",
        "A carried value stays on record",
        "informational",
        "A value carried from one dialect is text that no rule about content can read. It leaves "
        "only towards the dialect that it came from; towards any other it stays on record.",
    ),
    (
        "T021",
        "Siblings say it differently",
        "informational",
        "Resources that become one do not agree on this element. The mapping says what the one "
        "gets (`siblings: {others: ...}`); each sibling keeps its own on record and on its way "
        "back.",
    ),
    (
        "T022",
        "A sibling is no part of the whole",
        "informational",
        "By its own words the sibling ended, was entered in error or has not begun, so what it "
        "holds does not stand in the whole. It stays on record.",
    ),
    (
        "T023",
        "Siblings contradict each other",
        "conflict",
        "The mapping says that siblings must agree on this element, and one does not. Correct the "
        "sender.",
    ),
    (
        "T024",
        "What no sibling can hold stays on record",
        "informational",
        "The whole says something that belongs to none of its items. It is not sent to a system "
        "that keeps one resource for each item, and is not lost by what that system sends back.",
    ),
    (
        "T025",
        "A sibling with several items",
        "informational",
        "The dialect keeps one item in each resource, and this one holds more. All of them are "
        "taken, and go back in one resource.",
    ),
)

CODES: tuple[Code, ...] = tuple(Code(*row) for row in (*_FILES, *_MESSAGES))
