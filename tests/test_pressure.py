"""Senders are put off while too much waits for the destination that they send to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import town as places

from engine.samples.bundles import sample
from engine.server import create_app


def test_senders_wait_while_the_outbox_is_full(tmp_path: Path) -> None:
    """Beyond the bound the answer is 503 with Retry-After, and it passes once there is room."""
    with places.town(tmp_path) as town:
        config = town.project.config
        limits = replace(config.limits, outbox=10)
        town.project = replace(town.project, config=replace(config, limits=limits))
        town.app = create_app(town.project, town.store, clock=town.clock)
        assert town.send("mercy", "POST", "/fhir", sample("01-who-is-who")).status_code == 200
        town.clock.advance(1)
        later = town.send("mercy", "POST", "/fhir", sample("04-signed-consent"))
        assert later.status_code == 503
        assert int(later.headers["Retry-After"]) >= 1
        (issue,) = json.loads(later.content)["issue"]
        assert "hub" in issue["diagnostics"]
        assert town.send("hub", "POST", "/fhir", sample("01-who-is-who")).status_code != 503
        town.deliver()
        town.clock.advance(1)
        assert town.send("mercy", "POST", "/fhir", sample("04-signed-consent")).status_code == 200
