"""Coordination of care: what the engine itself does after a message, over the same road."""
