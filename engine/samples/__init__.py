"""At the edge: sample systems and a day of sample Bundles, for the demo and for tests."""
