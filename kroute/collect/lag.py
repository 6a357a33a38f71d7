"""Consumer groups: state, members, committed offsets and end offsets, one message per group and poll.

confluent-kafka serves both group protocols (kafka-python reports KIP-848 groups as Dead). The order of reads is the
rule that keeps lag honest: commits first, then high watermarks, then last stable offsets and starts. So a committed
offset is never ahead of an end read before it, and the stable end falls below the end only for an open transaction.

A coordinator moves, and librdkafka does not follow (2.16): it asks the broker that it found first until some ten other groups
push that out of its cache, and a request that timed out while it waited for a coordinator ends the process (an assertion) when
a broker comes back. So a client that lost a coordinator is closed with its poll, and the next poll makes a new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, NamedTuple

import confluent_kafka.admin
from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition

from kroute.collect.message import Message, Own, split, whole
from kroute.contracts.inputs import ConsumerLag, Member, PartitionLag
from kroute.errors import SourceUnreachable
from kroute.settings import Kafka

TOPIC = "consumer-lag"
DESCRIBE_BATCH = 200
COMMITS_IN_FLIGHT = 250
_STATES = {
    "PREPARING_REBALANCING": "PreparingRebalance",
    "COMPLETING_REBALANCING": "CompletingRebalance",
    "STABLE": "Stable",
    "DEAD": "Dead",
    "EMPTY": "Empty",
    "ASSIGNING": "Assigning",
    "RECONCILING": "Reconciling",
}
_GONE = frozenset({"GROUP_ID_NOT_FOUND"})
_LOST = frozenset({"NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "_TIMED_OUT", "_TRANSPORT"})
"""Errors of a coordinator that moved or does not answer."""
NAMED = 5
"""So many groups are named in a line of the log."""
TP = tuple[str, int]
_admin: Any = confluent_kafka.admin  # its type stubs leave OffsetSpec out
log = logging.getLogger(__name__)

QUIET = logging.getLogger("kroute.collect.librdkafka")
"""librdkafka repeats each failed connection; the scheduler already says it once, in the user's words."""
QUIET.setLevel(logging.CRITICAL)


class Ends(NamedTuple):
    """Offsets of one partition; None where that request failed for it."""

    end: int
    stable_end: int | None
    start: int | None


UNKNOWN = Ends(-1, None, None)
"""A partition without a leader keeps its place with ``end`` -1 (unknown): only a deleted one leaves the message."""


class LagPoller:
    """Polls the groups of one cluster; remembers which groups it has told of, to tell each end once."""

    topic = TOPIC

    def __init__(
        self, cluster: str, kafka: Kafka, own: Own, *, interval_ms: int, include: Iterable[str] = ("*",),
        exclude: Iterable[str] = (), racks: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.cluster = cluster
        self.name = f"{cluster}/groups"
        self.interval_ms = interval_ms
        self._own = own
        self._include = tuple(include)
        self._exclude = tuple(exclude)
        self._racks = dict(racks or {})
        self._timeout_s = timeout_s(interval_ms)
        self._kafka = kafka
        self._admin: Any = None
        self._made_at = float("-inf")
        self._known: dict[str, None] = {}
        self._unable: dict[str, str] = {}

    @property
    def unable(self) -> dict[str, str]:
        """Groups that the last poll could not read, and why."""
        return dict(self._unable)

    def poll(self) -> list[Message]:
        """One message (or its parts) per group; blocks.

        Raises:
            SourceUnreachable: the cluster gave no list of groups or no offsets at all.
        """
        now = _now_ms()
        try:
            return self._poll(now)
        except KafkaException as e:
            raise SourceUnreachable(f"Kafka cluster {self.cluster}: {why(e)}") from None

    def down(self, error: str) -> list[Message]:
        """``up: false`` for every group that has been told of: a gap is not an end."""
        now = _now_ms()
        return [self._failed(g, now, error) for g in self._known]

    def close(self) -> None:
        """Drop the connections; the next poll makes new ones."""
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.__exit__(None, None, None)  # at once, and in this thread: librdkafka aborts where its own collects it

    def _poll(self, now: int) -> list[Message]:
        if self._admin is None:
            self._admin = _admin.AdminClient(librdkafka(self._kafka, self._timeout_s))
            self._made_at = time.monotonic()
        leaders = self._leaders()  # first: it also makes librdkafka drop brokers that left the cluster
        listed, partial = self._list()
        described = self._describe(sorted({*listed, *self._known}))
        out: list[Message] = []
        alive: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for group, answer in described.items():
            gone = _is_gone(answer)
            if not gone and not isinstance(answer, Exception):
                alive[group] = answer
            elif not gone or (partial and group not in listed):
                failed[group] = why(answer) if isinstance(answer, Exception) else partial
            elif group in self._known:
                del self._known[group]
                out.append(whole(TOPIC, self._key(group), ConsumerLag(
                    cluster=self.cluster, observed_at_ms=now, interval_ms=self.interval_ms, group=group, state="Dead", members=(),
                )))  # fmt: skip
        commits = self._commits(list(alive))
        wanted: dict[str, dict[TP, int | None]] = {}
        for group, description in alive.items():
            answer = commits[group]
            if isinstance(answer, Exception):
                failed[group] = why(answer)
                continue
            rows: dict[TP, int | None] = {tp: None for tp, _ in _assigned(description)}
            rows.update(answer)
            wanted[group] = rows
        union = sorted({tp for rows in wanted.values() for tp in rows if leaders.get(tp, -1) >= 0})
        ends = self._ends(union)
        for group, rows in wanted.items():
            self._known.setdefault(group)
            out += split(TOPIC, self._key(group), self._message(group, alive[group], rows, ends, leaders, now), "partitions")
        for group, reason in failed.items():
            self._known.setdefault(group)
            out.append(self._failed(group, now, reason))
        self._say(failed)
        if any(_is_lost(answer) for answer in (*described.values(), *commits.values())):
            self._renew()
        return out

    def _renew(self) -> None:
        """Leave this client; the next poll makes a new one. At most once in the patience with one request."""
        if time.monotonic() - self._made_at >= self._timeout_s:
            log.debug("%s: a coordinator moved or gives no answer; the next poll has a new client", self.name)
            self.close()

    def _say(self, failed: dict[str, str]) -> None:
        """Log which groups cannot be read, and why, when that changes: to the schedule the source has answered."""
        new: dict[str, list[str]] = {}
        for group, reason in failed.items():
            if self._unable.get(group) != reason:
                new.setdefault(reason, []).append(group)
        for reason, groups in new.items():
            log.warning("%s: %s cannot be read: %s", self.name, _names(groups), reason)
        if back := [group for group in self._unable if group not in failed]:
            log.info("%s: %s can be read again", self.name, _names(back))
        self._unable = failed

    def _list(self) -> tuple[set[str], str]:
        """Names of the groups, and why the list may be incomplete ('' when it is whole)."""
        answer = _result(self._admin.list_consumer_groups(request_timeout=max(self._timeout_s / 2, 3.0)))
        if isinstance(answer, Exception):
            if not self._known:
                raise answer
            return set(), f"the groups could not be listed: {why(answer)}"  # a dead broker costs the whole list
        result = answer
        errors = list(result.errors or ())
        names = {g.group_id for g in result.valid if self._wanted(g.group_id)}
        return names, f"not every broker listed its groups: {why(errors[0])}" if errors else ""

    def _wanted(self, group: str) -> bool:
        return (
            0 < len(group) <= 1024
            and not self._own.group(group)
            and any(fnmatchcase(group, p) for p in self._include)
            and not any(fnmatchcase(group, p) for p in self._exclude)
        )

    def _describe(self, groups: list[str]) -> dict[str, Any]:
        futures: dict[str, Future[Any]] = {}
        for batch in _batches(groups, DESCRIBE_BATCH):
            futures |= self._admin.describe_consumer_groups(batch, request_timeout=self._timeout_s)
        return {group: _result(f) for group, f in futures.items()}

    def _commits(self, groups: list[str]) -> dict[str, Exception | dict[TP, int | None]]:
        out: dict[str, Exception | dict[TP, int | None]] = {}
        for batch in _batches(groups, COMMITS_IN_FLIGHT):
            futures: dict[str, Future[Any]] = {}
            for group in batch:
                request = ConsumerGroupTopicPartitions(group)
                futures |= self._admin.list_consumer_group_offsets([request], request_timeout=self._timeout_s)
            for group, f in futures.items():
                answer = _result(f)
                out[group] = answer if isinstance(answer, Exception) else self._offsets(answer.topic_partitions or ())
        return out

    def _offsets(self, partitions: Iterable[Any]) -> Exception | dict[TP, int | None]:
        """Commits by partition; one that could not be read fails the group's poll: it is not "never committed"."""
        rows = list(partitions)
        failed = next((p.error for p in rows if p.error), None)
        if failed is not None:
            return KafkaException(failed)
        return {(p.topic, p.partition): p.offset if p.offset >= 0 else None for p in rows}

    def _leaders(self) -> dict[TP, int]:
        """Leader of every partition there is, -1 where there is none; kroute's own topics are left out."""
        metadata = self._admin.list_topics(timeout=self._timeout_s)
        return {
            (name, p): info.leader
            for name, topic in metadata.topics.items()
            if topic.error is None and not self._own.topic(name)
            for p, info in topic.partitions.items()
        }

    def _ends(self, union: list[TP]) -> dict[TP, Ends]:
        if not union:
            return {}
        end = self._list_offsets(union, _admin.OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)
        answered = [tp for tp in union if tp in end]
        stable = self._list_offsets(answered, _admin.OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)
        start = self._list_offsets(answered, _admin.OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)
        return {tp: Ends(n, min(stable[tp], n) if tp in stable else None, start.get(tp)) for tp, n in end.items()}

    def _list_offsets(self, union: list[TP], spec: Any, isolation: Any) -> dict[TP, int]:
        if not union:
            return {}
        request = {TopicPartition(t, p): spec for t, p in union}
        futures = self._admin.list_offsets(request, isolation_level=isolation, request_timeout=self._timeout_s)
        out: dict[TP, int] = {}
        for tp, f in futures.items():
            answer = _result(f)
            if not isinstance(answer, Exception) and answer.offset >= 0:  # -1001: its leader is dead, nobody knows
                out[(tp.topic, tp.partition)] = answer.offset
        return out

    def _message(
        self, group: str, d: Any, rows: Mapping[TP, int | None], ends: Mapping[TP, Ends], leaders: Mapping[TP, int], now: int
    ) -> ConsumerLag:
        holder = dict(_assigned(d))
        partitions = []
        for tp in sorted(rows):
            if tp not in leaders:
                continue  # the topic or partition was deleted: it leaves at once
            e = ends.get(tp, UNKNOWN)
            partitions.append(PartitionLag(
                topic=tp[0], partition=tp[1], committed=rows[tp], end=e.end, stable_end=e.stable_end, start=e.start,
                leader=leaders[tp], member_id=holder.get(tp),
            ))  # fmt: skip
        return ConsumerLag(
            cluster=self.cluster, observed_at_ms=now, interval_ms=self.interval_ms, group=group,
            state=_state(d), protocol=_protocol(d), assignment=d.partition_assignor or None,
            coordinator=d.coordinator.id if d.coordinator is not None else None,
            members=tuple(self._member(m) for m in d.members), partitions=tuple(partitions),
        )  # fmt: skip

    def _member(self, m: Any) -> Member:
        topics: dict[str, list[int]] = {}
        for tp in m.assignment.topic_partitions if m.assignment else ():
            topics.setdefault(tp.topic, []).append(tp.partition)
        host = (m.host or "").lstrip("/")
        return Member(
            member_id=m.member_id, instance_id=m.group_instance_id, client_id=m.client_id, host=host or None,
            rack=next((rack for glob, rack in self._racks.items() if fnmatchcase(host, glob)), None),
            assignment=tuple((t, tuple(sorted(ps))) for t, ps in sorted(topics.items())),
        )  # fmt: skip

    def _failed(self, group: str, now: int, error: str) -> Message:
        return whole(TOPIC, self._key(group), ConsumerLag(
            cluster=self.cluster, observed_at_ms=now, interval_ms=self.interval_ms, group=group, up=False, error=error[:1000],
        ))  # fmt: skip

    def _key(self, group: str) -> str:
        return f"{self.cluster}/{group}"


def _assigned(description: Any) -> Iterator[tuple[TP, str]]:
    for m in description.members:
        for tp in m.assignment.topic_partitions if m.assignment else ():
            yield (tp.topic, tp.partition), m.member_id


def _state(description: Any) -> str:
    name = description.state.name
    return _STATES.get(name, "Unknown")


def _protocol(description: Any) -> str:
    name: str = description.type.name.lower()
    return name if name in ("classic", "consumer", "share", "streams") else "classic"


def _is_gone(answer: Any) -> bool:
    """Kafka answers for an unknown group with state Dead (classic) or GROUP_ID_NOT_FOUND (since 4.0, KIP-1043)."""
    if isinstance(answer, KafkaException):
        return answer.args[0].name() in _GONE
    return not isinstance(answer, Exception) and _state(answer) == "Dead"


def _is_lost(answer: Any) -> bool:
    if not isinstance(answer, KafkaException) or not answer.args:
        return False
    return hasattr(answer.args[0], "name") and answer.args[0].name() in _LOST


def _names(groups: list[str]) -> str:
    """How many groups, and the first of their names."""
    more = ", …" if len(groups) > NAMED else ""
    return f"{len(groups)} group{'s' * (len(groups) != 1)} ({', '.join(groups[:NAMED])}{more})"


def _result(future: Future[Any]) -> Any:
    """The answer or the error as a value: one group's failure is that group's alone."""
    try:
        return future.result()
    except KafkaException as e:
        return e


def timeout_s(interval_ms: int) -> float:
    """Patience with one request: 0.4 of the interval, 5 to 15 s, so that a dead broker does not cost several intervals."""
    return min(max(interval_ms / 1000 * 0.4, 5.0), 15.0)


def librdkafka(kafka: Kafka, patience_s: float) -> dict[str, Any]:
    """Configuration of an admin client that is quiet and does not wait for ever."""
    return {**kafka.librdkafka(), "socket.timeout.ms": int(patience_s * 1000), "client.id": "kroute-collect", "logger": QUIET}


def why(error: Any) -> str:
    """A client error in one line of the user's words; one of librdkafka's ends with the name of its code."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    if not isinstance(inner, KafkaError):
        return str(inner) or type(error).__name__
    text = (inner.str() or "").strip()
    if not text or text.endswith(":"):  # a broker gave a code alone
        text = f"{text} {KafkaError(inner.code()).str()}".lstrip()
    return f"{text} ({inner.name()})"


def _batches(items: list[str], size: int) -> Iterator[list[str]]:
    it = iter(items)
    while batch := list(islice(it, size)):
        yield batch


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
