"""The circuit breaker is a value that opens, tries once and closes."""

from __future__ import annotations

from engine.deliver.breaker import Breaker

NOW = 1000.0


def failed(times: int, breaker: Breaker | None = None) -> Breaker:
    """Return a breaker after so many failures at NOW."""
    breaker = breaker or Breaker(threshold=3)
    for _ in range(times):
        breaker = breaker.failed(NOW)
    return breaker


def test_it_stays_closed_below_its_threshold() -> None:
    """A few failures change nothing, and a success forgets them."""
    assert failed(2).room(NOW, limit=4, in_flight=1) == 3
    assert failed(2).succeeded(NOW) == Breaker(threshold=3)


def test_it_opens_at_its_threshold() -> None:
    """Enough failures in a row stop everything to that destination."""
    assert failed(3).state(NOW) == "open"
    assert failed(3).room(NOW, limit=4, in_flight=0) == 0


def test_it_lets_one_trial_through_when_the_pause_is_over() -> None:
    """Half-open means one at a time, until its result is known."""
    later = NOW + 1
    assert failed(3).state(later) == "half-open"
    assert failed(3).room(later, limit=4, in_flight=0) == 1
    assert failed(3).room(later, limit=4, in_flight=1) == 0
    assert failed(3).succeeded(later).room(later, limit=4, in_flight=0) == 4


def test_a_failed_trial_doubles_the_pause_up_to_the_cap() -> None:
    """The pauses are 1, 2, 4 ... seconds and never above the cap."""
    breaker, now, pauses = failed(3, Breaker(threshold=3, cap=5)), NOW, []
    for _ in range(4):
        assert breaker.until is not None
        pauses.append(breaker.until - now)
        now = breaker.until
        breaker = breaker.failed(now)
    assert pauses == [1, 2, 4, 5]


def test_stragglers_do_not_lengthen_the_pause() -> None:
    """What was on its way when it opened fails without opening it any further."""
    assert failed(9) == failed(3)


def test_a_destination_can_ask_for_a_pause() -> None:
    """After 429 with Retry-After nothing goes there until that time, then one trial."""
    paused = Breaker().paused(NOW + 30)
    assert paused.room(NOW, 4, 0) == 0
    assert paused.room(NOW + 30, 4, 0) == 1
    assert paused.succeeded(NOW + 30) == Breaker()


def test_what_was_on_its_way_does_not_end_a_pause_that_was_asked_for() -> None:
    """Only a trial after it closes the breaker; failures before it are forgotten all the same."""
    paused = failed(2).paused(NOW + 30).succeeded(NOW + 1)
    assert paused.state(NOW + 29) == "open"
    assert paused == Breaker(threshold=3).paused(NOW + 30)
    assert failed(3).succeeded(NOW) == Breaker(threshold=3)


def test_the_longest_pause_counts() -> None:
    """A shorter wait that is asked for later takes nothing from a longer one."""
    assert Breaker().paused(NOW + 30).paused(NOW + 5).state(NOW + 29) == "open"
