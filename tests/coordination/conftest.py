"""Fixtures of the tests of outreach: a town with every medium, and the mail server it sends by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from outreach_town import Mailbox, Place, outreach_town, settings


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    """Return a mail server that is not open yet."""
    return Mailbox(tmp_path)


@pytest.fixture
def place(tmp_path: Path, mailbox: Mailbox) -> Iterator[Place]:
    """Return a town with every medium."""
    with mailbox.open() as port, outreach_town(tmp_path, settings(tmp_path, port)) as built:
        yield built
