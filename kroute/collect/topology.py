"""Placement and health of a cluster as its admin API tells them: brokers, log dirs, topics, quorum, transactions.

Topics come from librdkafka's metadata (C, fast at tens of thousands of partitions), all else from kafka-python, which
alone of the Python clients has log dirs, quorum, reassignments and transactions. Each piece fails alone: a cluster
that denies one of them is told without it. A broker that hangs costs one request of a poll, and all of them together no more
than some patience: which brokers are there and who leads what is to be told at once, most of all then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import KafkaError, NotCoordinatorError, RetriableError, UnknownBrokerIdError
from kafka.net.compat import KafkaNetClient

from kroute.collect.lag import librdkafka, timeout_s, why
from kroute.collect.message import Message, Own, split, whole
from kroute.contracts.inputs import BrokerInfo, Controller, LogDir, PartitionInfo, TopicInfo, Topology, Transaction, Voter
from kroute.errors import SourceUnreachable
from kroute.settings import Kafka

TOPIC = "topology"
CONFIGS = ("cleanup.policy", "min.insync.replicas", "retention.ms", "message.timestamp.type")
CONFIG_BATCH = 500
PLACED_INTERNAL = ("__consumer_offsets", "__transaction_state")
"""Internal topics whose leaders matter: a group's coordinator and a transaction's."""
MAX_TRANSACTIONS = 1000
OPEN_STATES = ("Ongoing", "PrepareCommit", "PrepareAbort")
STORAGE_ERROR = 56  # KAFKA_STORAGE_ERROR
OUTDATED = (UnknownBrokerIdError, NotCoordinatorError)
"""What a client says, or hears, that does not know of a broker that is back or of a coordinator that moved."""
PATIENCE = 3
"""So many requests without an answer a poll waits for; then it tells what it has."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class TopologyPoller:
    """Polls one cluster; remembers brokers once listed (absent ones are gone) and topic configuration between reads."""

    topic = TOPIC

    def __init__(self, cluster: str, kafka: Kafka, own: Own, *, interval_ms: int, config_interval_ms: int = 600_000) -> None:
        self.cluster = cluster
        self.name = f"{cluster}/topology"
        self.interval_ms = interval_ms
        self._kafka = kafka
        self._own = own
        self._timeout_s = timeout_s(interval_ms)
        self._config_interval_s = config_interval_ms / 1000
        self._config_at = float("-inf")
        self._configs: dict[str, dict[str, str]] = {}
        self._sizes: dict[tuple[int, str], int] = {}
        self._brokers: dict[int, BrokerInfo] = {}
        self._metadata: Any = None
        self._admin: Any = None
        self._unable: dict[str, str] = {}
        self._until = 0.0
        self._silent: dict[int, None] = {}
        """Brokers that gave no answer in this poll."""
        self._outdated = False
        """The client goes by what it learnt up to five minutes ago (``metadata.max.age.ms``), and that is no more."""

    @property
    def unable(self) -> dict[str, str]:
        """Pieces that the last poll could not read, and why."""
        return dict(self._unable)

    def poll(self) -> list[Message]:
        """The cluster's topology, in parts where it is large; blocks.

        Raises:
            SourceUnreachable: neither brokers nor topics could be read.
        """
        now = time.time_ns() // 1_000_000
        try:
            told = self._topology(now)
            if self._outdated:
                self.close()
            return split(TOPIC, self.cluster, told, "topics")
        except (KafkaException, KafkaError, OSError) as e:
            self.close()
            raise SourceUnreachable(f"Kafka cluster {self.cluster}: {why(e)}") from None

    def down(self, error: str) -> list[Message]:
        """``up: false`` for the cluster."""
        return [whole(TOPIC, self.cluster, Topology(
            cluster=self.cluster, observed_at_ms=time.time_ns() // 1_000_000, interval_ms=self.interval_ms, up=False,
            error=error[:1000],
        ))]  # fmt: skip

    def close(self) -> None:
        """Drop the connections; the next poll makes new ones."""
        admin, self._admin, self._outdated = self._admin, None, False
        if admin is not None:
            try:
                admin.close()
            except (KafkaError, OSError, RuntimeError) as e:
                log.debug("closing the admin client of %s: %s", self.cluster, e)

    def _topology(self, now: int) -> Topology:
        if self._metadata is None:
            self._metadata = AdminClient(librdkafka(self._kafka, self._timeout_s))
        metadata = self._metadata.list_topics(timeout=self._timeout_s)
        alive = sorted(metadata.brokers)
        full = time.monotonic() - self._config_at >= self._config_interval_s
        self._until = time.monotonic() + PATIENCE * self._timeout_s
        self._silent = {}
        listed = self._try("brokers", lambda: self._asked().describe_cluster())
        controller = self._try("quorum", self._quorum)
        moves = self._try("reassignments", lambda: self._asked().list_partition_reassignments()) or {}
        brokers = self._told(
            [BrokerInfo(id=b["broker_id"], rack=b.get("rack"), host=b["host"], state="fenced" if b.get("is_fenced") else "alive")
             for b in listed["brokers"]]
            if listed else [BrokerInfo(id=b.id, rack=self._rack(b.id), host=b.host) for b in metadata.brokers.values()],
            {i: self._log_dirs(i, full) for i in alive},
        )  # fmt: skip
        topics = [t for t in metadata.topics.values() if t.error is None and self._wanted(t.topic)]
        if full:
            self._configs = self._topic_configs([t.topic for t in topics]) or self._configs
            self._config_at = time.monotonic()
        return Topology(
            cluster=self.cluster, observed_at_ms=now, interval_ms=self.interval_ms, brokers=brokers,
            topics=tuple(self._topic(t, moves) for t in sorted(topics, key=lambda t: str(t.topic))),
            controller=controller, transactions=tuple(self._transactions(alive)),
        )  # fmt: skip

    def _asked(self) -> Any:
        """The client for all but metadata, made where there is none.

        Raises:
            KafkaError: no broker takes it.
        """
        if self._admin is None:
            ms = int(self._timeout_s * 1000)
            self._admin = KafkaAdminClient(
                **self._kafka.kafka_python(), client_id="kroute-collect", request_timeout_ms=ms, bootstrap_timeout_ms=ms,
                kafka_client=partial(  # which the admin client's own settings do not reach: it is 10 s, and grows to 30
                    KafkaNetClient, socket_connection_setup_timeout_ms=ms, socket_connection_setup_timeout_max_ms=ms
                ),
            )  # fmt: skip
        return self._admin

    def _rack(self, broker: int) -> str | None:
        known = self._brokers.get(broker)
        return None if known is None else known.rack

    def _describe(self, wanted: list[ConfigResource]) -> Any:
        return self._asked().describe_configs(wanted, config_filter="all")

    def _list_transactions(self, broker: int) -> Any:
        return self._asked().list_transactions(broker_ids=[broker], state_filters=OPEN_STATES)

    def _wanted(self, topic: str) -> bool:
        return not self._own.topic(topic) and (not topic.startswith("__") or topic in PLACED_INTERNAL)

    def _told(self, listed: Iterable[BrokerInfo], dirs: dict[int, tuple[LogDir, ...]]) -> tuple[BrokerInfo, ...]:
        """Brokers of this poll with their log dirs, and as gone those of former polls that are absent."""
        seen = {b.id: BrokerInfo(id=b.id, rack=b.rack, host=b.host, state=b.state, log_dirs=dirs.get(b.id, ())) for b in listed}
        for i, b in self._brokers.items():
            seen.setdefault(i, BrokerInfo(id=i, rack=b.rack, host=b.host, state="gone"))
        self._brokers = seen
        return tuple(seen[i] for i in sorted(seen))

    def _log_dirs(self, broker: int, full: bool) -> tuple[LogDir, ...]:
        """Every poll asks for volumes only; sizes, which list every partition, come with the configuration."""
        which: list[str] | None = None if full else []
        what = f"log dirs of broker {broker}"
        answer = self._try(what, lambda: self._asked().describe_log_dirs(which, brokers=[broker]), broker)
        out = []
        for d in answer[0]["log_dirs"] if answer else ():
            path = d["log_dir"]
            if full:
                self._sizes[(broker, path)] = sum(p["partition_size"] for t in d["topics"] for p in t["partitions"])
            code = d["error_code"]
            out.append(LogDir(
                path=path, size_bytes=self._sizes.get((broker, path)), total_bytes=_known(d.get("total_bytes")),
                usable_bytes=_known(d.get("usable_bytes")),
                error=None if not code else "KAFKA_STORAGE_ERROR" if code == STORAGE_ERROR else f"error {code}",
            ))  # fmt: skip
        return tuple(out)

    def _topic(self, t: Any, moves: Any) -> TopicInfo:
        partitions = []
        for i, p in sorted(t.partitions.items()):
            move = moves.get((t.topic, i)) if moves else None
            partitions.append(PartitionInfo(
                id=i, leader=p.leader, replicas=tuple(p.replicas), isr=tuple(p.isrs),
                adding=tuple(move["adding_replicas"]) if move else (), removing=tuple(move["removing_replicas"]) if move else (),
            ))  # fmt: skip
        return TopicInfo(name=t.topic, partitions=tuple(partitions), config=self._configs.get(t.topic, {}))

    def _topic_configs(self, topics: list[str]) -> dict[str, dict[str, str]] | None:
        out: dict[str, dict[str, str]] = {}
        for i in range(0, len(topics), CONFIG_BATCH):
            wanted = [ConfigResource("TOPIC", t, list(CONFIGS)) for t in topics[i : i + CONFIG_BATCH]]
            answer = self._try("topic configuration", partial(self._describe, wanted))
            if answer is None:
                return None
            for topic, values in answer.get("topic", {}).items():
                out[topic] = {k: str(v["value"]) for k, v in values.items() if v.get("value") is not None}
        return out

    def _quorum(self) -> Controller | None:
        answer = self._asked().describe_metadata_quorum()
        for topic in answer["topics"]:
            for p in topic["partitions"]:
                voters = p["current_voters"]
                end = max((v["log_end_offset"] for v in voters if v["replica_id"] == p["leader_id"]), default=None)
                return Controller(
                    leader=p["leader_id"], epoch=p["leader_epoch"], voters=tuple(sorted(v["replica_id"] for v in voters)),
                    quorum=tuple(
                        Voter(
                            id=v["replica_id"],
                            lag=None if end is None or v["log_end_offset"] < 0 else max(0, end - v["log_end_offset"]),
                            caught_up_at_ms=_known(v.get("last_caught_up_timestamp")),
                        )
                        for v in sorted(voters, key=lambda v: int(v["replica_id"]))
                    ),
                )  # fmt: skip
        return None

    def _transactions(self, brokers: list[int]) -> list[Transaction]:
        ids: dict[str, None] = {}
        for b in brokers:
            answer = self._try(
                f"transactions of broker {b}",
                partial(self._list_transactions, b),
                b,
            )
            ids |= {
                t.transactional_id: None
                for rows in (answer or {}).values()
                for t in rows
                if not self._own.group(t.transactional_id)
            }
        if not ids:
            return []
        described = self._try("transactions", lambda: self._asked().describe_transactions(sorted(ids)[:MAX_TRANSACTIONS])) or {}
        return [
            Transaction(
                id=name, state=str(d.state.value), started_at_ms=_known(d.transaction_start_time_ms), producer_id=d.producer_id,
                partitions=tuple(sorted((tp.topic, tp.partition) for tp in d.topic_partitions if not self._own.topic(tp.topic))),
            )
            for name, d in sorted(described.items())
        ]  # fmt: skip

    def _try(self, what: str, call: Callable[[], T], broker: int | None = None) -> T | None:
        """The piece, or None; why it is missing is logged when that changes, not at each poll. ``broker``: who is asked."""
        try:
            if broker in self._silent:
                raise RetriableError(f"broker {broker} gave no answer in this poll")
            if time.monotonic() > self._until:
                raise RuntimeError("no time was left in this poll")
            answer = call()
        except (KafkaError, KafkaException, OSError, KeyError, ValueError, RuntimeError) as e:
            self._outdated |= isinstance(e, OUTDATED)
            if broker is not None and isinstance(e, (RetriableError, OSError)):
                self._silent[broker] = None
            reason = why(e)
            if self._unable.get(what) != reason:
                log.warning("%s: %s cannot be read and is left out: %s", self.name, what, reason)
            self._unable[what] = reason
            return None
        if self._unable.pop(what, None) is not None:
            log.info("%s: %s can be read again", self.name, what)
        return answer


def _known(n: Any) -> int | None:
    """Kafka says -1 for what it does not tell."""
    return n if isinstance(n, int) and n >= 0 else None
