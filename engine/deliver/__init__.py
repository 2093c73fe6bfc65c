"""Deliver what was routed: the outbox's states, when to try again, how to send, and the worker."""
