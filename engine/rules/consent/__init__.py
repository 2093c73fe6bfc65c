"""The consent rule: may this be told to that recipient, for this purpose, now."""

from __future__ import annotations

from engine.rules.consent.compile import CompiledConsent, compile_consent
from engine.rules.consent.decide import decide
from engine.rules.consent.policy import Policy
from engine.rules.consent.residual import residual_rules

__all__ = ["CompiledConsent", "Policy", "compile_consent", "decide", "residual_rules"]
