"""Real producers and consumers with a rate that can be changed while they run; each is one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import confluent_kafka
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from kroute.errors import LocalKafkaError

_STEP_S = 0.05
_STOP_S = 20.0
_COMMIT_S = 1.0
_QUIET = {"log_level": 0}
_NO_COORDINATOR_YET = ("COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS")


class _Paced:
    """A thread that does at most ``rate`` things a second; it can be started again after ``stop``."""

    def __init__(self, name: str, rate: float) -> None:
        self.name = name
        self.rate = rate
        """Records per second; may be set at any time."""
        self.count = 0
        """Records so far."""
        self.error: str | None = None
        """The last error, kept for a person to read; the thread goes on after those that Kafka calls temporary."""
        self._paused = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._guarded, name=self.name, daemon=True)
            self._thread.start()
        return self

    def pause(self) -> None:
        """Do nothing until ``resume``; a consumer stays in its group."""
        self._paused.set()

    def resume(self) -> None:
        self._paused.clear()

    def stop(self) -> None:
        """End in order: a producer flushes, a consumer commits and leaves its group."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
            self._thread = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _guarded(self) -> None:
        try:
            self._run()
        except KafkaException as e:
            self.error = str(e)

    def _run(self) -> None:
        raise NotImplementedError


class _Budget:
    """How many records may be handled now: ``rate`` a second, at most a second's worth saved up."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._left = 0.0

    def take(self, rate: float) -> int:
        now = time.monotonic()
        self._left = min(max(rate, 1.0), self._left + rate * (now - self._at))
        self._at = now
        return int(self._left)

    def spend(self, count: int) -> None:
        self._left -= count


class Producer(_Paced):
    """Produces ``rate`` records a second, spread evenly over the first ``partitions`` partitions (all when None).

    ``value``: bytes for a record's number.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        rate: float,
        partitions: int | None = None,
        *,
        value: Callable[[int], bytes] = lambda n: b'{"n":%d}' % n,
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"producer of {topic}", rate)
        self.topic = topic
        self._partitions = partitions
        self._value = value
        self._config = {
            "bootstrap.servers": bootstrap,
            "client.id": f"{topic}-producer",
            "linger.ms": 20,
            **_QUIET,
            **(config or {}),
        }

    def _run(self) -> None:
        producer = confluent_kafka.Producer(self._config)
        budget = _Budget()
        while not self._stopping.wait(_STEP_S):
            allowed = budget.take(self.rate)
            producer.poll(0)
            if self._paused.is_set():
                budget.spend(allowed)
                continue
            for _ in range(allowed):
                try:
                    self._produce(producer)
                except BufferError:  # the cluster is away: what cannot be kept is not produced
                    break
                self.count += 1
                budget.spend(1)
        producer.flush(5)

    def _produce(self, producer: confluent_kafka.Producer) -> None:
        value = self._value(self.count)
        if self._partitions is None:
            producer.produce(self.topic, value, str(self.count), on_delivery=self._delivered)
        else:
            producer.produce(self.topic, value, partition=self.count % self._partitions, on_delivery=self._delivered)

    def _delivered(self, error: object, _: Message) -> None:
        if error is not None:
            self.error = str(error)


class Consumer(_Paced):
    """Reads at most ``rate`` records a second in a group and commits what it has read every second.

    ``protocol``: ``classic``, or ``consumer`` (KIP-848).
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Sequence[str],
        rate: float,
        protocol: str = "classic",
        *,
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"consumer of {group}", rate)
        self.group = group
        self.topics = list(topics)
        session = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000} if protocol == "classic" else {}
        self._config = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": f"{group}-consumer",
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "queued.max.messages.kbytes": 1024,
            **session,
            **_QUIET,
            **(config or {}),
        }

    def _run(self) -> None:
        consumer = confluent_kafka.Consumer(self._config)
        consumer.subscribe(self.topics)
        budget, committed_at, held = _Budget(), time.monotonic(), False
        try:
            while not self._stopping.is_set():
                was, held = held, self._paused.is_set()
                if held:  # each time: a rebalance may have brought partitions that are not paused
                    consumer.pause(consumer.assignment())
                elif was:
                    consumer.resume(consumer.assignment())
                allowed = budget.take(0 if held else self.rate)
                if allowed or held:
                    # Held: still polled, so that the member stays in its group; its partitions are paused.
                    budget.spend(self._read(consumer, max(1, min(allowed, 200))))
                else:
                    self._stopping.wait(_STEP_S)
                if time.monotonic() - committed_at >= _COMMIT_S:
                    self._commit(consumer)
                    committed_at = time.monotonic()
            self._commit(consumer)
        finally:
            consumer.close()

    def _read(self, consumer: confluent_kafka.Consumer, at_most: int) -> int:
        read = 0
        for message in consumer.consume(at_most, timeout=_STEP_S):
            error = message.error()
            if error is not None:
                self.error = str(error)
                continue
            consumer.store_offsets(message)
            read += 1
        self.count += read
        return read

    def _commit(self, consumer: confluent_kafka.Consumer) -> None:
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as e:
            if e.args[0].name() != "_NO_OFFSET":  # nothing new to commit
                self.error = str(e)


def create_topics(bootstrap: str, topics: Mapping[str, int], replicas: int = 1) -> None:
    """Create topics, name → partitions; those that exist are left as they are.

    Raises:
        LocalKafkaError: one could not be created.
    """
    new = [NewTopic(name, num_partitions=n, replication_factor=replicas) for name, n in topics.items()]
    with AdminClient({"bootstrap.servers": bootstrap, **_QUIET}) as admin:
        for name, future in admin.create_topics(new, request_timeout=30).items():
            error = future.exception()
            if isinstance(error, KafkaException) and error.args[0].name() == "TOPIC_ALREADY_EXISTS":
                continue
            if error is not None:
                said = error.args[0].str() if isinstance(error, KafkaException) else error
                raise LocalKafkaError(f"topic {name} could not be created: {said}")


def group_lag(bootstrap: str, group: str) -> dict[tuple[str, int], int]:
    """Records behind per (topic, partition) that the group has committed; empty where nothing is known (yet)."""
    with AdminClient({"bootstrap.servers": bootstrap, **_QUIET}) as admin:
        try:
            committed = (
                admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30).topic_partitions
            )
        except KafkaException as e:
            if e.args[0].name() in _NO_COORDINATOR_YET:
                return {}
            raise
        at = {(p.topic, p.partition): p.offset for p in committed or () if p.error is None and p.offset >= 0}
        if not at:
            return {}
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        ends = admin.list_offsets({TopicPartition(t, p): latest for t, p in at})
        return {(p.topic, p.partition): future.result(30).offset - at[p.topic, p.partition] for p, future in ends.items()}
