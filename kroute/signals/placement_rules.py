"""Rules T1–T11 over the tally of a poll and the memory of those before.

Availability counts at the first poll (T1, T4, T5, T7); what a restart brushes past, at the second (T2, T3, T9).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from kroute.signals.metric_rules import number
from kroute.signals.model import DEFAULT_INTERVAL_MS, Symptom
from kroute.signals.placement_tally import Count, Tally

CHURN_MS, CHURN_TIMES = 600_000, 3
"""T8: the controller's epoch moved this often within this time."""
QUORUM_LAG, QUORUM_LATE_MS = 1000, 30_000
"""T9: a voter is this many records, or this long, behind."""
LEADERS_LOST, LEADERS_BACK, LEADERS_LEAST, LEADERS_MS = 0.5, 0.8, 4, 1_800_000
"""T10: share lost, share that counts as regained, fewest leaders worth a word, and when the new placement is the usual."""
LEADERS_WELL_MS = 60_000
"""T10: a broker that is up with all its replicas in the ISR for this long has come through, leaders or not: Kafka gives
them back when it sees fit (``leader.imbalance.check.interval.seconds``, 5 min by default)."""
OPEN_MS = 90_000
"""T11: open for longer than this, and than twice the longest that its id usually takes (coordinators abort at 60 s by
default, at 15 min at the most)."""
LEARN_MS = 600_000
"""T11: nothing is learnt from one that was open for longer than this: it hung."""
LEFT_MS = 3_600_000
"""A broker that is gone and holds no replica for this long has left the cluster."""
DOWN = ("gone", "fenced")
MOST_DURATIONS = 500


class Broken(NamedTuple):
    """One symptom to be."""

    kind: str
    since_ms: int
    value: float
    why: str
    detail: dict[str, Any]


class BrokerMemory(msgspec.Struct, array_like=True):
    """One broker over the polls. ``usual``: leaders before it lost them, ``lost_ms`` when (-1: it did not). ``well_ms``:
    since when it is up with nothing behind (-1: it is not). ``away``: when it lost them it was gone between two polls."""

    state: str = "alive"
    rack: str | None = None
    down_ms: int = -1
    hosts: int = 0
    leads: int = 0
    usual: int = 0
    lost_ms: int = -1
    behind_ms: int = -1
    dirs_ms: int = -1
    has_dirs: bool = False
    well_ms: int = -1
    away: bool = False


class OpenTransaction(msgspec.Struct, array_like=True):
    """A transaction that is open, and for how long it has been seen to be."""

    started_ms: int
    seen_ms: int


class Memory(msgspec.Struct, array_like=True):
    """What is kept of one cluster between polls; times are epoch ms of observation, -1 for never."""

    cluster: str
    at_ms: int = -1
    down_ms: int = -1
    every_ms: int = 0
    interval_ms: int = DEFAULT_INTERVAL_MS
    times: list[int] = []
    brokers: dict[int, BrokerMemory] = {}
    bad_ms: dict[str, int] = {}
    """Condition of the cluster → first poll that showed it."""
    epoch: int = -1
    epochs_ms: list[int] = []
    transactions: dict[str, OpenTransaction] = {}
    longest: dict[str, int] = {}
    """Transactional id → the longest it was seen open before it ended (ms), of those that took over a minute."""
    controller: int = -1
    """Who led the metadata quorum last."""


Word = tuple[frozenset[str], list[Broken]]


def judge_cluster(memory: Memory, t: Tally, at_ms: int, active: dict[str, Symptom]) -> Word:
    """T3–T6, T8, T9."""
    judged: list[str] = []
    found: list[Broken] = []
    if t.partitions:
        judged += ["under-replicated", "offline-partitions", "reassigning"]
        found += _count(
            memory, "under-replicated", t.under, at_ms, active, 2, "partitions under-replicated", {"reassigning": t.moving.n > 0}
        )
        found += _count(memory, "offline-partitions", t.offline, at_ms, active, 1, "partitions without a leader", {})
        found += _count(memory, "reassigning", t.moving, at_ms, active, 1, "partitions are being reassigned", {})
    if t.min_known:
        judged.append("under-min-isr")
        found += _count(memory, "under-min-isr", t.under_min, at_ms, active, 1, "partitions below min.insync.replicas", {})
    if t.controller is not None:
        judged += ["controller-churn"]
        found += _controller(memory, t, at_ms, active)
        if t.controller.quorum:
            judged.append("quorum-lagging")
            late = [
                v.id
                for v in t.controller.quorum
                if (v.lag or 0) >= QUORUM_LAG or (v.caught_up_at_ms is not None and at_ms - v.caught_up_at_ms > QUORUM_LATE_MS)
            ]
            since = _first(memory, "quorum-lagging", bool(late), at_ms)
            if late and (since < at_ms or "quorum-lagging" in active):
                why = f"voters {', '.join(map(str, late))} are behind the metadata log"
                found.append(Broken("quorum-lagging", since, float(len(late)), why, {"voters": late}))
    return frozenset(judged), found


def judge_brokers(memory: Memory, t: Tally, at_ms: int, platform: str) -> tuple[dict[int, Word], list[int]]:
    """T1, T2, T7, T10 per broker, and the brokers that have left the cluster for good."""
    out: dict[int, Word] = {}
    left: list[int] = []
    placed = t.partitions > 0
    for i in sorted(t.listed | memory.brokers) if t.listed else []:
        b = memory.brokers.get(i)
        state = t.listed.get(i, "gone")
        if b is None:
            b = memory.brokers[i] = BrokerMemory()
        rack = t.racks.get(i)
        b.rack = rack or b.rack
        if state not in DOWN:
            b.down_ms = -1
        elif b.down_ms < 0:
            if i not in t.listed and placed and b.hosts == 0 and memory.at_ms >= 0 and t.hosts.get(i, 0) == 0:
                left.append(i)  # it held nothing when it went: removed on purpose
                continue
            b.down_ms = at_ms
        elif i not in t.listed and placed and t.hosts.get(i, 0) == 0 and at_ms - b.down_ms > LEFT_MS:
            left.append(i)
            continue
        b.state = state
        out[i] = _broker(b, i, t, at_ms, placed)
    for i in left:
        del memory.brokers[i]
    return out, left


def _broker(b: BrokerMemory, i: int, t: Tally, at_ms: int, placed: bool) -> Word:
    judged, found = ["broker-gone"], []
    where = {"rack": b.rack} if b.rack else {}
    if b.down_ms >= 0:
        held = f"; {t.hosts.get(i, 0)} replicas on it" if placed and t.hosts.get(i) else ""
        why = f"broker {i} is {b.state} for {number((at_ms - b.down_ms) / 1000)} s{held}"
        found.append(Broken("broker-gone", b.down_ms, (at_ms - b.down_ms) / 1000, why, {"state": b.state, **where}))
    if placed:
        judged += ["replica-behind", "leaders-moved"]
        behind = t.behind.get(i, 0)
        old = b.behind_ms
        b.behind_ms = -1 if not behind else at_ms if old < 0 else old
        if behind and 0 <= old < at_ms:
            why = f"{behind} of the {t.hosts.get(i, 0)} replicas on broker {i} are missing from the ISR"
            found.append(Broken("replica-behind", b.behind_ms, float(behind), why, dict(where)))
        b.well_ms = -1 if behind or b.down_ms >= 0 else at_ms if b.well_ms < 0 else b.well_ms
        found += _leaders(b, i, t.leads.get(i, 0), at_ms, apart=0 < behind == t.hosts.get(i, 0))
        b.hosts = t.hosts.get(i, 0)
    if i in t.dir_errors:
        errors = t.dir_errors[i]
        judged.append("log-dir-offline")
        b.dirs_ms = -1 if not errors else at_ms if b.dirs_ms < 0 else b.dirs_ms
        if errors:
            why = f"{len(errors)} log directories of broker {i} report an error: {errors[0]}"
            found.append(Broken("log-dir-offline", b.dirs_ms, float(len(errors)), why, {"log_dirs": errors[:10]}))
    return frozenset(judged), found


def _leaders(b: BrokerMemory, i: int, leads: int, at_ms: int, *, apart: bool) -> list[Broken]:
    """T10: it led many partitions and leads less than half of them now. Where it is up, and ``apart``, out of the ISR of all that
    it holds, it was away since the last poll: who is slow drops out of one after the other, and leads on."""
    if b.lost_ms < 0 and b.leads >= LEADERS_LEAST and leads < LEADERS_LOST * b.leads:
        b.usual, b.lost_ms, b.away = b.leads, at_ms, apart and not leads
    elif b.lost_ms >= 0:
        well = b.well_ms >= 0 and at_ms - max(b.well_ms, b.lost_ms) >= LEADERS_WELL_MS
        if leads >= LEADERS_BACK * b.usual or well or at_ms - b.lost_ms > LEADERS_MS:
            b.lost_ms = -1
    b.leads = leads
    b.away = b.away and b.down_ms < 0  # who is seen gone was on its way out, or is away still
    if b.lost_ms < 0:
        return []
    why = f"broker {i} leads {leads} partitions, {b.usual} before" + ("; it was away for a moment" if b.away else "")
    return [
        Broken("leaders-moved", b.lost_ms, float(b.usual - leads), why, {"before": b.usual} | ({"away": "yes"} if b.away else {}))
    ]


def judge_transactions(memory: Memory, t: Tally, at_ms: int) -> tuple[dict[str, Word], list[str]]:
    """T11 per open transaction, and those that have ended."""
    out: dict[str, Word] = {}
    for name in sorted(t.open):
        started, partitions = t.open[name]
        old = memory.transactions.get(name)
        if old is not None and old.started_ms != started:
            _learn(memory, name, old)
        memory.transactions[name] = OpenTransaction(started, at_ms)
        age = at_ms - started
        found = []
        if age > max(OPEN_MS, 2 * memory.longest.get(name, 0)):
            why = f"transaction {name} is open for {number(age / 1000)} s"
            topics = list(dict.fromkeys(p.rpartition("/")[0] for p in partitions))
            found.append(Broken("transaction-open", started, age / 1000, why, {"partitions": partitions, "topics": topics}))
        out[name] = (frozenset({"transaction-open"}), found)
    ended = [n for n in sorted(memory.transactions) if n not in t.open]
    for name in ended:
        _learn(memory, name, memory.transactions.pop(name))
    return out, ended


def _learn(memory: Memory, name: str, old: OpenTransaction) -> None:
    """An id that keeps transactions open for minutes and ends them well does so on purpose."""
    took = old.seen_ms - old.started_ms
    if took > 60_000 and took < LEARN_MS and (name in memory.longest or len(memory.longest) < MOST_DURATIONS):
        memory.longest[name] = max(took, memory.longest.get(name, 0))


def _first(memory: Memory, condition: str, bad: bool, at_ms: int) -> int:
    """Event time of the first poll in a row that shows the condition."""
    if not bad:
        memory.bad_ms.pop(condition, None)
        return at_ms
    return memory.bad_ms.setdefault(condition, at_ms)


def _count(
    memory: Memory, kind: str, count: Count, at_ms: int, active: dict[str, Symptom], polls: int, label: str, more: dict[str, Any]
) -> list[Broken]:
    since = _first(memory, kind, count.n > 0, at_ms)
    if not count.n or (polls > 1 and since == at_ms and kind not in active):
        return []
    topics = list(dict.fromkeys(n.rpartition("/")[0] for n in count.names))
    return [Broken(kind, since, float(count.n), f"{count.n} {label}", {"topics": topics, **more})]


def _controller(memory: Memory, t: Tally, at_ms: int, active: dict[str, Symptom]) -> list[Broken]:
    """T8: no leader for two polls, or three new epochs within ten minutes, without those that a broker made by going."""
    c = t.controller
    if c is None:
        return []
    if c.epoch is not None:
        if memory.epoch >= 0 and c.epoch > memory.epoch and not _went(memory, t, memory.controller):
            memory.epochs_ms = [*memory.epochs_ms[-9:], *[at_ms] * min(c.epoch - memory.epoch, 10)][-10:]
        memory.epoch = max(memory.epoch, c.epoch)
    if c.leader is not None and c.leader >= 0:
        memory.controller = c.leader
    of = {"voters": list(c.voters)} if c.voters else {}
    none = c.leader is None or c.leader < 0
    since = _first(memory, "no-controller", none, at_ms)
    recent = [e for e in memory.epochs_ms if at_ms - e <= CHURN_MS]
    if len(recent) >= CHURN_TIMES:
        why = f"{len(recent)} new controller epochs within {CHURN_MS // 60_000} min{', and no leader now' if none else ''}"
        return [Broken("controller-churn", recent[0], float(len(recent)), why, {"leader": None if none else c.leader, **of})]
    if none and (since < at_ms or "controller-churn" in active):
        return [Broken("controller-churn", since, 0.0, "the metadata quorum has no leader", {"leader": None, **of})]
    return []


def _went(memory: Memory, t: Tally, broker: int) -> bool:
    """True for a broker that is not there, was not at the last poll, or has lost most of what it led since: it was restarted."""
    b = memory.brokers.get(broker)
    if b is None or not t.listed:
        return False
    restarted = b.leads >= LEADERS_LEAST and t.leads.get(broker, 0) < LEADERS_LOST * b.leads
    return t.listed.get(broker, "gone") in DOWN or b.down_ms >= 0 or restarted
