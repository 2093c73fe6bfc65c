"""Subscriptions (R4 by the Subscriptions R5 Backport 1.1.0): systems here, and we elsewhere."""
