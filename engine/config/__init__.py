"""The foundation's last stone: config.yaml, read into a frozen Config with every problem told."""

from engine.config.kinds import Tree
from engine.config.load import load_config, read_config
from engine.config.model import (
    CHECKED_TYPES,
    EVERYTHING,
    Config,
    ConsentRules,
    CrosswalkSettings,
    Limits,
    Organization,
    Purpose,
    Retry,
    Route,
    Rules,
    Server,
    System,
)

__all__ = [
    "CHECKED_TYPES",
    "EVERYTHING",
    "Config",
    "ConsentRules",
    "CrosswalkSettings",
    "Limits",
    "Organization",
    "Purpose",
    "Retry",
    "Route",
    "Rules",
    "Server",
    "System",
    "Tree",
    "load_config",
    "read_config",
]
