"""/readyz tells the truth: it is ready when the record can be written, and not otherwise."""

from __future__ import annotations

from pathlib import Path

import town as places


def test_ready_means_that_the_record_can_be_written(tmp_path: Path) -> None:
    """A record that answers and takes writes is ready."""
    with places.town(tmp_path) as town:
        assert town.send("", "GET", "/readyz").status_code == 200


def test_a_full_disk_refuses_and_heals(tmp_path: Path) -> None:
    """Where no page can be added any more submissions get 503, and it heals by itself."""
    with places.town(tmp_path) as town:
        town.store.write(lambda tx: tx.audit.append("test.noted")).result()

        def limit(pages: str) -> None:
            town.store.write(
                lambda tx: tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar()
            ).result()

        limit("1")
        body = {"resourceType": "Bundle", "type": "batch", "entry": []}
        padding = [{"resource": {"resourceType": "Basic", "id": "x" * 40}}] * 900
        told = town.post("mercy", {**body, "entry": padding})
        assert told.status_code == 503
        assert told.json()["resourceType"] == "OperationOutcome"
        limit("1073741823")
        assert town.post("mercy", {**body, "entry": padding}).status_code != 503


def test_a_record_that_is_read_only_is_not_ready(tmp_path: Path) -> None:
    """Where writes are refused, the answer is 503 and says why."""
    with places.town(tmp_path) as town:
        town.store.write(lambda tx: tx.audit.append("test.noted")).result()
        town.store.write(
            lambda tx: tx.connection.exec_driver_sql("PRAGMA query_only=ON").close()
        ).result()
        told = town.send("", "GET", "/readyz")
        assert told.status_code == 503
        assert "cannot be written" in told.json()["status"]
