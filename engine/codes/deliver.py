"""Diagnostic codes of the deliver room."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "D001",
        "The destination could not be reached",
        "transient",
        "No connection came about: wrong base_url, no such host, a closed port, or a certificate "
        "that does not verify. It is tried again as `retry` in config.yaml says; after several "
        "such failures in a row the destination is spared for a while.",
    ),
    Code(
        "D002",
        "The destination did not answer in time",
        "timeout",
        "The exchange took longer than the system's `timeout`. It may have arrived all the same: "
        "the next attempt carries the same Idempotency-Key.",
    ),
    Code(
        "D003",
        "The connection broke off",
        "transient",
        "The destination closed the connection before it had answered. It may have arrived all the "
        "same: the next attempt carries the same Idempotency-Key.",
    ),
    Code(
        "D004",
        "The destination cannot take it now",
        "throttled",
        "It answered 408, 425, 429 or 5xx. It is tried again, not before the Retry-After that the "
        "destination gave.",
    ),
    Code(
        "D005",
        "The destination does not know us",
        "login",
        "It answered 401, or a redirect, which is never followed. Check `bearer` and `base_url` of "
        "the system; it is tried again meanwhile.",
    ),
    Code(
        "D006",
        "The destination refused for now",
        "conflict",
        "It answered 403, 409, or a 404 or 405 that did not come from a FHIR server. That seldom "
        "changes by itself, so it is tried a few times only.",
    ),
    Code(
        "D007",
        "The destination refused the resource",
        "processing",
        "It answered that it will never take this, or said 200 and reported a failure. It is not "
        "tried again; `carelane ledger show` has the codes of its OperationOutcome. Mend the "
        "mapping or the destination, then `carelane ledger requeue`.",
    ),
    Code(
        "D008",
        "A resource without id cannot be written by PUT",
        "required",
        "The interactions `update` and `transaction` write by id. Give the system "
        "`interaction: create`, or map the id.",
    ),
    Code(
        "D009",
        "It was tried as often as configured",
        "transient",
        "The delivery is a dead letter now. When the destination is well again, "
        "`carelane ledger requeue` starts over with the same Idempotency-Key.",
    ),
    Code(
        "D011",
        "The decision at sending could not be taken",
        "exception",
        "A rule failed, and a rule that fails denies: nothing left. It is decided again as `retry` "
        "in config.yaml says; the log has the details.",
    ),
    Code(
        "D012",
        "The engine failed while it was sending",
        "exception",
        "A bug. Nobody knows whether it arrived, so it is tried again with the same "
        "Idempotency-Key; the log has the details.",
    ),
    Code(
        "D013",
        "The Bundle that it went in failed",
        "transient",
        "The destination refused a Bundle of several deliveries, or did not say what became of "
        "each. Every one of them is sent again alone, with the same idempotency key, so that only "
        "the one at fault stays behind.",
    ),
)
