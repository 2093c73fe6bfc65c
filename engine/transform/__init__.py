"""Transform: from each dialect to canonical and back, by adapters compiled from mappings."""
