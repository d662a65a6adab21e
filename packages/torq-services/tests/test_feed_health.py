"""What a feed says of itself: in its health, on the metrics page, in the console and in status."""

from __future__ import annotations

import io

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from torq_services.adapters import FeedHealth
from torq_services.cli.lifecycle import books_table, feeds_table
from torq_services.observability.metrics import exposition
from torq_services.venues.simulated import Fault
from torq_services.venues.simulated.trial import EXCHANGES, Trial


async def troubled(name: str, fault: Fault) -> tuple[FeedHealth, Trial]:
    """A feed's health after one fault, a reconnect and a recovery."""
    trial = Trial(EXCHANGES[name], 11, {30: fault})
    async with trial.running():
        trial.feed.health()
        await trial.trade_through_faults()
        await trial.venue.disconnect_all()
        await trial.until(lambda: trial.feed.connects == 2, "the second connection")
        await trial.settled()
        await trial.venue.trade(20, per_second=1000)
        await trial.settled()
        await trial.until(lambda: trial.feed.state == "in step", "the feed's own word")
        found = trial.feed.health()
    return found, trial


def samples(*feeds: FeedHealth) -> dict[tuple[str, str], float]:
    """The metrics page, by name and instrument (or venue)."""
    return {
        (sample.name, sample.labels.get("instrument", sample.labels.get("venue", ""))): sample.value
        for family in text_string_to_metric_families(exposition(feeds, ()).decode())
        for sample in family.samples
    }


async def test_a_wrong_checksum_is_counted_for_its_instrument_alone() -> None:
    health, trial = await troubled("kraken", Fault.CHECKSUM)
    assert health.state == "in step"
    assert health.counters.checksum_failures == 1
    assert sorted(book.checksum_failures for book in health.books.values()) == [0, 1]
    assert all(book.status == "verified" and book.checked > 0 for book in health.books.values())
    assert (health.connects, health.reconnects) == (2, 1)
    assert health.age_ms is not None
    assert health.rate > 0
    found = samples(health)
    symbols = trial.exchange.symbols
    assert sum(found["torq_book_checksum_failures_total", symbol] for symbol in symbols) == 1
    assert found["torq_feed_reconnects_total", "kraken"] == 1
    assert found["torq_feed_in_step", "kraken"] == 1
    for symbol in symbols:
        assert found["torq_book_verified", symbol] == 1
        assert found["torq_book_resyncs_total", symbol] == health.books[symbol].resyncs >= 1
        assert ("torq_book_age_milliseconds", symbol) in found


async def test_a_gap_is_counted_and_shown() -> None:
    health, _ = await troubled("binance", Fault.SEQUENCE_JUMP)
    assert health.counters.sequence_gaps == 1
    assert [book.gaps for book in health.books.values()].count(1) == 1
    assert any(book.latency_ms is not None for book in health.books.values())
    printer = Console(width=100, file=io.StringIO(), record=True)
    for table in (feeds_table([health]), books_table([health])):
        printer.print(table)
    shown = {
        words[0]: words for line in printer.export_text().splitlines() if (words := line.split())
    }
    assert shown["binance"][1:3] == ["in", "step"]
    assert shown["binance:BTCUSDT"][1] == shown["binance:ETHUSDT"][1] == "verified"


def test_without_a_connection_or_an_update_there_is_no_age() -> None:
    trial = Trial(EXCHANGES["gemini"], 1)
    feed = trial.unconnected_feed()
    health = feed.health()
    assert health.age_ms is None
    assert {book.age_ms for book in health.books.values()} == {None}
    assert ("torq_feed_age_milliseconds", "gemini") not in samples(health)
    assert msgspec.json.decode(msgspec.json.encode(health), type=FeedHealth) == health
