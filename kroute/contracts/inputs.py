"""The polled inputs: broker metrics, consumer lag, connector status, topology, access.

Source of every field: the project's contracts; names are Kafka's own. Unknown fields are ignored.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from kroute.contracts.common import Int32, Int64, Millis, Name, Offset, Part, Polled


def worker_name(connect: str, worker: str) -> str:
    """``connect-a/w1:8083``, whether the worker is told alone or like that."""
    return worker if worker.startswith(f"{connect}/") else f"{connect}/{worker}"


class Source(Struct, frozen=True, kw_only=True):
    """The process that was scraped. ``kind``: broker | controller | connect-worker | probe | link."""

    kind: Name
    id: Name
    rack: str | None = None
    platform: str | None = None  # kafka | automq
    connect: str | None = None  # the Connect cluster of a connect-worker
    wal: str | None = None  # AutoMQ: ebs | s3 | …

    @property
    def name(self) -> str:
        """As entities spell it: a Connect worker with its Connect cluster (``connect-a/w1:8083``)."""
        return worker_name(self.connect, self.id) if self.connect else self.id


class Sample(Struct, frozen=True, gc=False):
    """One value of one signal of the vocabulary. Rates are per second, ``*_ms`` in ms, ratios 0–1."""

    signal: Name
    value: float
    labels: dict[str, str] | None = None


class BrokerMetrics(Polled, frozen=True, kw_only=True):
    """``kroute.broker-metrics``: one message per scrape of one process."""

    source: Source
    samples: tuple[Sample, ...] = ()


class Member(Struct, frozen=True, kw_only=True):
    """A group member; ``assignment`` is a list of ``[topic, [partition, …]]``."""

    member_id: str
    instance_id: str | None = None
    client_id: str | None = None
    host: str | None = None
    rack: str | None = None
    assignment: tuple[tuple[str, tuple[Part, ...]], ...] = ()
    principal: str | None = None


class PartitionLag(Struct, frozen=True, gc=False):
    """Offsets of one partition for one group. ``committed`` null: never committed.

    ``end``: high watermark; ``stable_end``: last stable offset (absent: equal to ``end``);
    ``start``: log start offset.
    """

    topic: Name
    partition: Part
    end: Offset
    committed: Offset | None = None
    stable_end: Offset | None = None
    start: Offset | None = None
    leader: Int32 | None = None
    committed_at_ms: Millis | None = None
    member_id: str | None = None


class ConsumerLag(Polled, frozen=True, kw_only=True):
    """``kroute.consumer-lag``: one message per group and poll.

    ``state`` is Kafka's group state, required unless ``up`` is false; ``Dead`` tells once that the
    group is gone. ``protocol``: classic | consumer (KIP-848) | share | streams.
    """

    group: Name
    state: str | None = None
    protocol: str | None = None
    coordinator: Int32 | None = None
    members: tuple[Member, ...] | None = None  # None: not known; (): known to have none
    partitions: tuple[PartitionLag, ...] = ()
    group_epoch: Int32 | None = None
    assignment: str | None = None  # the assignor's name

    def __post_init__(self) -> None:
        if self.up and self.state is None:
            raise ValueError("Object missing required field `state` (only `up: false` may leave it out)")


class Task(Struct, frozen=True, kw_only=True):
    """A connector's task as Connect's REST API tells it, with its metrics by vocabulary name."""

    id: Part
    state: Name
    worker: str | None = None
    trace: str | None = None
    metrics: dict[str, float] = {}


class ConnectorStatus(Polled, frozen=True, kw_only=True, rename={"class_": "class"}):
    """``kroute.connector-status``: one message per connector and poll. ``type``: sink | source."""

    connect: Name
    connector: Name
    type: str | None = None
    class_: str | None = None
    state: str | None = None
    worker: str | None = None
    trace: str | None = None
    topics: tuple[str, ...] = ()
    group: str | None = None
    system: str | None = None
    tasks: tuple[Task, ...] = ()

    def __post_init__(self) -> None:
        if self.up and self.state is None:
            raise ValueError("Object missing required field `state` (only `up: false` may leave it out)")


class LogDir(Struct, frozen=True, kw_only=True):
    """One log directory; sizes in bytes, null where the broker does not tell."""

    path: str
    size_bytes: Int64 | None = None
    total_bytes: Int64 | None = None
    usable_bytes: Int64 | None = None
    error: str | None = None


class BrokerInfo(Struct, frozen=True, kw_only=True):
    """A broker of the cluster. ``state``: alive | fenced | gone."""

    id: Int32
    rack: str | None = None
    host: str | None = None
    state: str = "alive"
    platform: str | None = None
    log_dirs: tuple[LogDir, ...] = ()


class Voter(Struct, frozen=True, kw_only=True):
    """A member of the metadata quorum; ``lag`` in records behind the leader."""

    id: Int32
    lag: Int64 | None = None
    caught_up_at_ms: Millis | None = None


class Controller(Struct, frozen=True, kw_only=True):
    """The KRaft quorum; ``leader`` is -1 or null where there is none."""

    leader: Int32 | None = None
    epoch: Int32 | None = None
    voters: tuple[Int32, ...] = ()
    quorum: tuple[Voter, ...] = ()


class PartitionInfo(Struct, frozen=True, gc=False):
    """Replica placement; ``leader`` -1 or null: no leader (offline)."""

    id: Part
    leader: Int32 | None = None
    replicas: tuple[Int32, ...] = ()
    isr: tuple[Int32, ...] = ()
    adding: tuple[Int32, ...] = ()
    removing: tuple[Int32, ...] = ()


class TopicInfo(Struct, frozen=True, kw_only=True):
    """A topic with the configuration values that matter (``cleanup.policy``, ``min.insync.replicas``)."""

    name: Name
    partitions: tuple[PartitionInfo, ...] = ()
    config: dict[str, str] = {}


class Transaction(Struct, frozen=True, kw_only=True):
    """A transactional id; ``partitions`` is a list of ``[topic, partition]``."""

    id: Name
    state: str
    started_at_ms: Millis | None = None
    partitions: tuple[tuple[str, Part], ...] = ()
    producer_id: Int64 | None = None


class Topology(Polled, frozen=True, kw_only=True):
    """``kroute.topology``: one message per cluster and poll. A broker that was listed and is absent is gone."""

    controller: Controller | None = None
    brokers: tuple[BrokerInfo, ...] = ()
    topics: tuple[TopicInfo, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    platform: str | None = None


class Access(Polled, frozen=True, kw_only=True):
    """``kroute.access``: ACLs, quotas and denials where they can be collected."""

    acls: tuple[dict[str, Any], ...] = ()
    quotas: tuple[dict[str, Any], ...] = ()
    denials: tuple[dict[str, Any], ...] = ()
