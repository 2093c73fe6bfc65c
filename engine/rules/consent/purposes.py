"""Purposes of use: which one follows from which (HL7 v3-ActReason, PurposeOfUse)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from engine.rules.consent.codings import ACT_REASON, Key

_CHILDREN = """
PurposeOfUse: HMARKT HOPERAT HPAYMT HRESCH PATRQT PUBHLTH TREAT
HOPERAT: CAREMGT DONAT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM HLEGAL HOUTCOMS HPRGRP HQUALIMP
HOPERAT: HSYSADMIN MEMADMIN MILCDM MLTRAINING PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV TRAIN
HSYSADMIN: LABELING METAMGT
SYSDEV: HTEST
HPAYMT: CLMATTCH COVAUTH COVERAGE PMTDS REMITADV
COVERAGE: ELIGDTRM ELIGVER ENROLLM MILDCRG
HRESCH: BIORCH CLINTRCH DSRCH POARCH TRANSRCH
CLINTRCH: CLINTRCHNPC CLINTRCHPC PRECLINTRCH
PATRQT: FAMRQT PWATRNY SUPNWK
PUBHLTH: DISASTER THREAT
TREAT: CLINTRL COC ETREAT POPHLTH TREATDS
ETREAT: BTG ERTREAT
"""

PARENT: Mapping[str, str] = MappingProxyType(
    {
        child: parent
        for line in _CHILDREN.split("\n")
        if line
        for parent, children in [line.split(": ")]
        for child in children.split()
    }
)
"""Each purpose and what it stands under."""

EMERGENCY = frozenset({"ETREAT", "BTG", "ERTREAT"})
"""Purposes that override what a member wants: they never follow from an ordinary permit."""


def ancestors(code: str) -> Iterable[str]:
    """Yield a purpose and everything that it stands under."""
    seen: str | None = code
    while seen is not None:
        yield seen
        seen = PARENT.get(seen)


def _covered(stated: str, asked: str, denying: bool) -> bool:
    if stated not in ancestors(asked):
        return False
    return denying or asked not in EMERGENCY or stated in EMERGENCY


def _table(denying: bool) -> Mapping[str, frozenset[Key]]:
    codes = {"PurposeOfUse", *PARENT}
    return MappingProxyType(
        {
            stated: frozenset(
                Key(ACT_REASON, asked) for asked in codes if _covered(stated, asked, denying)
            )
            for stated in codes
        }
    )


_PERMITTED = _table(denying=False)
_DENIED = _table(denying=True)


def permitted_by(stated: Iterable[Key]) -> frozenset[Key]:
    """Return every purpose that a permit for the `stated` ones covers: themselves and below.

    Emergency and break-glass follow only from themselves and from ETREAT.
    """
    return _all_of(stated, _PERMITTED)


def denied_by(stated: Iterable[Key]) -> frozenset[Key]:
    """Return every purpose that a denial of the `stated` ones covers: themselves and below."""
    return _all_of(stated, _DENIED)


def _all_of(stated: Iterable[Key], table: Mapping[str, frozenset[Key]]) -> frozenset[Key]:
    found: set[Key] = set()
    for key in stated:
        found.add(key)
        if key.system == ACT_REASON:
            found |= table.get(key.code, frozenset())
    return frozenset(found)


RESEARCH = permitted_by([Key(ACT_REASON, "HRESCH")])
"""Research and every kind of it."""
