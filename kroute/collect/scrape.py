"""One Prometheus endpoint as a source: scraped, translated, one broker-metrics message per scrape."""

from __future__ import annotations

import logging
import time

from kroute.collect.aliases import Aliases
from kroute.collect.config import Exposition
from kroute.collect.connect import TaskMetrics
from kroute.collect.exposition import Translator, looks_like_exposition
from kroute.collect.http import Http
from kroute.collect.message import Message, Own, split, whole
from kroute.contracts.inputs import BrokerMetrics, Sample, Source
from kroute.errors import SourceUnreachable

TOPIC = "broker-metrics"
log = logging.getLogger(__name__)
RATES = 2
"""Scrapes after which rates are known, too."""
ACCEPT = {"Accept": "text/plain;version=0.0.4;q=1,*/*;q=0.1"}


class ExpositionPoller:
    """Scrapes one process. Task signals of a Connect worker are also left with ``metrics`` for the status messages."""

    topic = TOPIC

    def __init__(
        self, cluster: str, config: Exposition, aliases: Aliases, http: Http, own: Own, *, interval_ms: int,
        metrics: TaskMetrics | None = None,
    ) -> None:  # fmt: skip
        self.cluster = cluster
        self.name = f"{cluster}/{config.source}/{config.id}"
        self.interval_ms = interval_ms
        self._url = config.url
        self._source = Source(
            kind=config.source, id=config.id, rack=config.rack, platform=config.platform or aliases.platform,
            connect=config.connect, wal=config.wal,
        )  # fmt: skip
        self._translator = Translator(aliases.rules, cpus=config.cpus)
        self._http = http
        self._own = own
        self._metrics = metrics
        self._nothing = 0
        """Scrapes in a row of which no metric is known."""

    async def poll(self) -> list[Message]:
        """One message of samples, in parts where it is large.

        Raises:
            SourceUnreachable: no answer, or not an exposition.
        """
        now = time.time_ns() // 1_000_000
        at = time.monotonic()
        text = (await self._http.ok(self._url, ACCEPT)).decode("utf-8", "replace")
        if not looks_like_exposition(text):
            raise SourceUnreachable(f"{self._url}: its answer is not a Prometheus exposition")
        samples = tuple(s for s in self._translator.samples(text, at) if not self._foreign(s))
        self._nothing = 0 if samples else self._nothing + 1
        if self._nothing == RATES:
            log.warning("%s: no metric of %s is known to its aliases: it answers, and tells nothing", self.name, self._url)
        self._share(samples)
        message = BrokerMetrics(
            cluster=self.cluster, observed_at_ms=now, interval_ms=self.interval_ms, source=self._source, samples=samples
        )
        return split(TOPIC, self.name, message, "samples")

    def down(self, error: str) -> list[Message]:
        """``up: false`` for this source. The last scrape is forgotten: no rate is taken over a gap."""
        self._translator.forget()
        return [whole(TOPIC, self.name, BrokerMetrics(
            cluster=self.cluster, observed_at_ms=time.time_ns() // 1_000_000, interval_ms=self.interval_ms, source=self._source,
            up=False, error=error[:1000],
        ))]  # fmt: skip

    def _foreign(self, sample: Sample) -> bool:
        topic = (sample.labels or {}).get("topic")
        return topic is not None and self._own.topic(topic)

    def _share(self, samples: tuple[Sample, ...]) -> None:
        if self._metrics is None or not self._source.connect:
            return
        for s in samples:
            labels = s.labels or {}
            task = labels.get("task", "")
            if labels.get("connector") and task.isdigit():
                self._metrics.put(self._source.connect, labels["connector"], int(task), s.signal, s.value)
