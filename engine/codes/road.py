"""Diagnostic codes of the road itself: receiving, entries, routing and reading."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "R001",
        "The sender is not known",
        "login",
        "Each system authenticates by `Authorization: Bearer TOKEN`. The SHA-256 of the token "
        "stands in config.yaml as `token_sha256` of the system. `carelane token` makes a new pair.",
    ),
    Code(
        "R002",
        "The type is not carried for this sender",
        "not-supported",
        "No route in config.yaml carries this resource type from this system. Add the type to a "
        "route, or set `unrouted: record` to keep such resources without passing them on.",
    ),
    Code(
        "R003",
        "The interaction is not supported here",
        "not-supported",
        "A Bundle entry may create (POST) or update (PUT) a resource. Read, delete and patch are "
        "not carried: say that a resource ended by its status.",
    ),
    Code(
        "R004",
        "The content type is not FHIR JSON",
        "not-supported",
        "Send `Content-Type: application/fhir+json` (application/json is understood too). XML is "
        "not read.",
    ),
    Code(
        "R005",
        "The idempotency key was used for another content",
        "conflict",
        "The same sender sent the same key with a different body. A key names one submission for "
        "good: use a new key for new content.",
    ),
    Code(
        "R006",
        "Nothing is known under this id",
        "not-found",
        "There is no such resource, or it is not for this reader: both look the same on purpose.",
    ),
    Code(
        "R007",
        "Another entry of the transaction was refused",
        "processing",
        "A transaction is accepted whole or not at all (http://hl7.org/fhir/R4/http.html"
        "#transaction). Mend the entries that were refused, or send a batch.",
    ),
    Code(
        "R008",
        "The engine takes no more work now",
        "throttled",
        "The queue in front of the durable record is full. Nothing of the submission was kept: "
        "send it again after the seconds that Retry-After gives.",
    ),
    Code(
        "R009",
        "The resource was accepted",
        "informational",
        "It is in the durable record and will be delivered, or is kept without being passed on "
        "where the configuration says so.",
    ),
    Code(
        "R010",
        "The resource is held",
        "informational",
        "It is in the durable record but waits for something, most often for a reference that the "
        "crosswalk does not know. `carelane ledger list --state held` shows why, linking releases "
        "it.",
    ),
    Code(
        "R011",
        "The engine failed",
        "exception",
        "A bug or a broken disk or database. Nothing was acknowledged, so nothing is lost: send it "
        "again. The log has the details under the correlation id.",
    ),
    Code(
        "R012",
        "A Bundle entry cannot be used",
        "structure",
        "Each entry of a Bundle must hold a resource with its resourceType; a transaction or batch "
        "entry also a request whose url fits the resource.",
    ),
    Code(
        "R013",
        "The Bundle type is not accepted",
        "not-supported",
        "Accepted are transaction, batch, collection and message Bundles.",
    ),
    Code(
        "R014",
        "No adapter speaks this dialect",
        "not-supported",
        "The system's dialect has no mapping for the type and the type is not passed through. Add "
        "mappings/<dialect>/<resource>.yaml.",
    ),
    Code(
        "R015",
        "The message has no MessageHeader",
        "required",
        "The first entry of a message Bundle must be its MessageHeader "
        "(http://hl7.org/fhir/R4/messaging.html).",
    ),
    Code(
        "R016",
        "The stored record cannot be reached",
        "transient",
        "The database did not answer. Nothing of the submission was kept: send it again.",
    ),
    Code(
        "R017",
        "The path does not exist here",
        "not-found",
        "See GET /fhir/metadata for the types and interactions that this server has.",
    ),
    Code(
        "R018",
        "A search parameter is not known",
        "not-supported",
        "Known are _id, identifier, status, patient (subject, for, beneficiary; also "
        ".identifier), _count. Others are ignored with a warning, or refused under "
        "`Prefer: handling=strict`. A modifier that is not applied (`status:not`) is refused "
        "always: without it other resources would match.",
    ),
    Code(
        "R019",
        "An id that FHIR does not allow was taken",
        "informational",
        "FHIR ids have no `_`. The mapping says `normalise: [illegal-ids]`, so the resource was "
        "taken under the id that its system gave it, and goes back there under the same.",
    ),
    Code(
        "R020",
        "A sibling turned to another whole",
        "conflict",
        "The sender keeps one resource for each item of a whole (`siblings:` of its mapping), and "
        "this one was part of another whole before: a team of another member, say. It would have "
        "to leave that one and enter this one under the same id. End it where it is (status "
        "entered-in-error), and send a new one.",
    ),
    Code(
        "R021",
        "A modifier around the resources is not understood",
        "extension",
        "`implicitRules` and `modifierExtension` of a Bundle, its entries or its MessageHeader can "
        "turn the meaning of all that stands inside. None is understood, so nothing was taken.",
    ),
    Code(
        "R022",
        "A precondition cannot be checked here",
        "not-supported",
        "`If-Match` and `If-None-Match` with a write (in a Bundle `ifMatch` and `ifNoneMatch`) "
        "would be ignored, and the write might go over somebody else's. Send it without.",
    ),
)
