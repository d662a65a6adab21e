"""What adapters and relays report of themselves, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from torq_relays import RelayStatus
from torq_services.adapters import BookHealth, FeedHealth

__all__ = ["EXPOSITION_TYPE", "exposition"]

EXPOSITION_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_Feed = Callable[[FeedHealth], int | None]
_Book = Callable[[BookHealth], int | None]
_FEED_GAUGES: tuple[tuple[str, str, _Feed], ...] = (
    ("torq_feed_in_step", "1 when all its books are verified", lambda f: f.state == "in step"),
    ("torq_feed_messages_per_second", "Messages from the exchange", lambda f: f.rate),
    ("torq_feed_age_milliseconds", "Since the last message", lambda f: f.age_ms),
)  # fmt: skip
_FEED_COUNTERS: tuple[tuple[str, str, _Feed], ...] = (
    ("torq_feed_messages", "Messages from the exchange", lambda f: f.counters.frames),
    ("torq_feed_reconnects", "Connections after the first", lambda f: f.reconnects),
    ("torq_feed_pauses", "How often the circuit breaker opened", lambda f: f.pauses),
    ("torq_feed_resyncs", "Snapshots asked for", lambda f: f.resyncs),
    ("torq_feed_sequence_gaps", "Holes in numbers", lambda f: f.counters.sequence_gaps),
    ("torq_feed_checksum_failures", "Wrong checksums", lambda f: f.counters.checksum_failures),
    ("torq_feed_malformed", "Messages that made no sense", lambda f: f.counters.malformed),
    ("torq_feed_precision_errors", "Numbers too long", lambda f: f.counters.precision_errors),
    ("torq_feed_unknown", "Messages of unknown kinds", lambda f: f.counters.unknown_messages),
    ("torq_feed_refusals", "Requests that were refused", lambda f: f.counters.refusals),
)  # fmt: skip
_BOOK_GAUGES: tuple[tuple[str, str, _Book], ...] = (
    ("torq_book_verified", "1 when the book is verified in step", lambda b: b.status == "verified"),
    ("torq_book_age_milliseconds", "Since the last update", lambda b: b.age_ms),
    ("torq_book_latency_milliseconds", "From the exchange's timestamp",
     lambda b: b.latency_ms),
    ("torq_book_updates_per_second", "Book updates", lambda b: b.rate),
)  # fmt: skip
_BOOK_COUNTERS: tuple[tuple[str, str, _Book], ...] = (
    ("torq_book_invalidations", "How often it was declared stale", lambda b: b.invalidations),
    ("torq_book_sequence_gaps", "How often for a hole in numbers", lambda b: b.gaps),
    ("torq_book_checksum_failures", "How often for its checksum", lambda b: b.checksum_failures),
    ("torq_book_checksums_compared", "Updates with a checksum", lambda b: b.checked),
    ("torq_book_resyncs", "Snapshots after the first", lambda b: b.resyncs),
    ("torq_book_audits", "Comparisons with the exchange's REST answer", lambda b: b.audits),
)  # fmt: skip


class _Reports(Collector):
    def __init__(self, feeds: Iterable[FeedHealth], relays: Iterable[RelayStatus]) -> None:
        self._feeds = list(feeds)
        self._relays = list(relays)

    def collect(self) -> Iterator[Metric]:
        for families, kind in (
            (_FEED_GAUGES, GaugeMetricFamily), (_FEED_COUNTERS, CounterMetricFamily),
        ):  # fmt: skip
            for name, text, value in families:
                family = kind(name, text, labels=["venue"])
                for feed in self._feeds:
                    found = value(feed)
                    if found is not None:
                        family.add_metric([feed.venue], found)
                yield family
        for book_families, kind in (
            (_BOOK_GAUGES, GaugeMetricFamily), (_BOOK_COUNTERS, CounterMetricFamily),
        ):  # fmt: skip
            for name, text, book_value in book_families:
                family = kind(name, text, labels=["venue", "instrument"])
                for feed in self._feeds:
                    for symbol, book in feed.books.items():
                        number = book_value(book)
                        if number is not None:
                            family.add_metric([feed.venue, symbol], number)
                yield family
        rate = GaugeMetricFamily("torq_relay_messages_per_second", "Appended", labels=["domain"])
        faults = CounterMetricFamily("torq_relay_faults", "Refused or missing", labels=["domain"])
        for relay in self._relays:
            rate.add_metric([relay.domain], relay.rate)
            faults.add_metric([relay.domain], sum(relay.faults.values()))
        yield from (rate, faults)


def exposition(feeds: Iterable[FeedHealth], relays: Iterable[RelayStatus]) -> bytes:
    """The page that Prometheus fetches."""
    registry = CollectorRegistry()
    registry.register(_Reports(feeds, relays))
    return generate_latest(registry)
