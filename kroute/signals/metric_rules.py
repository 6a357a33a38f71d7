"""Rules over windows of features: what is bad, since when, and the sentence that says so.

A ``Feature`` names its threshold in the field and how its own baseline replaces it; a ``Rule`` is one row of the table
of symptoms. Bad for ``polls`` polls in a row fires, fine for ``CLEAR_POLLS`` with a margin clears: one odd scrape does
neither. Thresholds are those of signals.md ("Thresholds in the field"); ratios and floors are first estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from kroute.contracts.common import Entity
from kroute.signals.baseline import Base
from kroute.signals.model import Symptom

CLEAR_POLLS = 2
CLEAR_MARGIN, LEAST_LEFT = 0.2, 0.02
"""A symptom clears when the value is this share better than the threshold."""
GAP_POLLS = PEER_POLLS = 3
"""Racks are compared by so many of their last polls."""
RISING = 4
HELD_MS, HELD_POLLS = 25_000, 12
"""Bad for this long, or for this many polls where polls come faster: a process that starts, or one slow disk sync, is
no trouble. At polls of 15 s and more ``Rule.polls`` alone decides."""

WAITS = "queue_ms"
LEFT, LOW_PART = 1.5, 0.6
"""So many times its usual, and outside its scatter, a value has left it; who has little to spare every day is in trouble with so
much of that."""
USUAL_EXCESS, IDLE_EXCESS = 10.0, 2.0
"""What is so many times beyond the field's threshold is usual nowhere; likewise of an idle share."""

Series = list[tuple[int, float]]
"""``(at_ms, value)``, the newest last."""


class Feature(NamedTuple):
    """One number of an entity and when it is bad.

    ``field``: threshold while there is no baseline (None: not judged then). ``floor``: with a baseline the threshold is
    the largest of floor, ratio × median, median + 6 σ (None: the field's always holds). ``cap``: never above this.
    ``low``: bad below instead of above. ``add``: sources add up (else the worst counts). ``hourly``: baseline by hour of
    week first. ``peers``: also three times the peers' median and own p90 (Cruise Control's slow broker).
    ``fills``: it clears when what it has left is a fifth more.
    """

    name: str
    label: str
    unit: str
    field: float | None
    floor: float | None = None
    ratio: float = 3.0
    cap: float | None = None
    low: bool = False
    add: bool = False
    hourly: bool = False
    peers: bool = False
    odd: float | None = None
    fills: bool = False


class Rule(NamedTuple):
    """A kind of the table of symptoms and the features it is judged by; any bad one fires."""

    kind: str
    number: str
    features: tuple[Feature, ...]
    polls: int = 2
    at_once: bool = False
    """True where two bad polls are enough however fast they come: what is no matter of load."""


class Finding(NamedTuple):
    """A rule's word: active or healthy, and for an active one the worst value, since when, why, and detail."""

    active: bool
    since_ms: int = 0
    value: float = 0.0
    why: str = ""
    detail: Mapping[str, Any] = MappingProxyType({})


HEALTHY = Finding(False)


class View(Protocol):
    """What a rule may look at: the windows of one entity, at one moment."""

    entity: Entity
    now_ms: int
    interval_ms: int

    def series(self, name: str, add: bool) -> Series:
        """The feature over the last polls; empty when the newest poll did not have it."""

    def heads(self, name: str) -> Series:
        """The newest poll of each source that has the feature, in no order."""

    def newest(self, name: str) -> float | None:
        """The newest value summed over all sources; None where none has the feature."""

    def depth(self, name: str) -> int:
        """Polls that every source with the feature has: further back a sum lacks some of them."""

    def base(self, name: str, add: bool, hourly: bool) -> Base | None:
        """The baseline, None while there are too few samples."""

    def former(self, name: str) -> float:
        """What is usual of it at any one source that is heard and tells nothing of it any more, the most."""

    def peers(self, name: str) -> list[float]:
        """The newest values of the entity's peers in its cluster."""

    def peers_since(self, name: str, add: bool, since_ms: int) -> list[Series]:
        """Of each other rack that is probed and heard: its last polls since then, empty where there is none."""

    def unheard(self, name: str) -> bool:
        """True when a source that told the feature when last heard is not heard now."""

    def start_ms(self, name: str) -> int | None:
        """Until when the feature's sources had just been met; None where that is not remembered any more."""

    def symptom(self, kind: str) -> Symptom | None:
        """The kind's symptom while it is active."""


def judge(rule: Rule, view: View) -> Finding | None:
    """A rule on one entity; None when it cannot be judged."""
    active = view.symptom(rule.kind)
    worst: Finding | None = None
    excess = -1.0
    judged: list[str] = []
    for f in rule.features:
        series = view.series(f.name, f.add)
        base = view.base(f.name, f.add, f.hourly) if f.floor is not None or f.peers or f.low else None
        limit = threshold(f, base, view)
        if not series or limit is None:
            continue
        if f.odd is not None and base is not None and (odd := _odd(f, f.odd, base, series, view)) is not None:
            limit = min(limit, odd)
        judged.append(f.name)
        run = [bad(f, v, limit) for _, v in series]
        fires = len(run) >= rule.polls and all(run[-rule.polls :]) and (rule.at_once or held(series, run))
        fires = fires and not (f.low and recovering(series))
        stays = active is not None and active.detail.get("feature") == f.name and not cleared(f, series, limit)
        if not (fires or stays):
            continue
        value = series[-1][1]
        by = (limit + 1e-9) / (value + 1e-9) if f.low else (value + 1e-9) / (limit + 1e-9)
        if by > excess:
            excess = by
            detail: dict[str, Any] = {"feature": f.name, "limit": rounded(limit)}
            if base is not None:
                detail["usual"] = rounded(base.median)
            if f.odd is not None and value < (f.floor or 0.0):
                detail["mild"] = "yes"
            if f.peers:
                del detail["limit"]
            unseen = unseen_since(series, run) if active is None else active.detail.get("unseen_since")
            if unseen is not None:
                detail["unseen_since"] = unseen
            if _from_start(f, by, series, run, view) if active is None else active.detail.get("from_start"):
                detail["from_start"] = True
            worst = Finding(True, rose(f, series, run, base), value, sentence(f, value, base, limit), detail)
    if worst is not None:
        return worst
    if not judged or (active is not None and active.detail.get("feature") not in judged):
        return None  # what showed the symptom is not observed: that it is over is not known
    return HEALTHY


def threshold(f: Feature, base: Base | None, view: View) -> float | None:
    """The own baseline first, the field's threshold second; None: cannot be judged yet."""
    if f.peers:
        limit = f.field or 0.0
        if base is not None:
            limit = max(limit, 3.0 * base.p90)
        peers = view.peers(f.name)
        if len(peers) >= 2:
            ordered = sorted(peers)
            limit = max(limit, 3.0 * ordered[len(ordered) // 2])
        return limit
    if f.low and base is not None and f.field is not None:
        return min(f.field, LOW_PART * base.median)
    if base is None or f.floor is None:
        return f.field
    limit = base.limit(f.floor, f.ratio)
    return min(limit, f.cap) if f.cap is not None else limit


def bad(f: Feature, value: float, limit: float) -> bool:
    """True beyond the threshold."""
    return value < limit if f.low else value > limit


def clear(f: Feature, value: float, limit: float) -> bool:
    """True well on the healthy side of the threshold."""
    if f.fills:
        return value <= limit - max(LEAST_LEFT, CLEAR_MARGIN * (1.0 - limit))
    return value >= limit * (1 + CLEAR_MARGIN) if f.low else value <= limit * (1 - CLEAR_MARGIN)


def cleared(f: Feature, series: Series, limit: float) -> bool:
    """True when the last polls were all well on the healthy side."""
    return len(series) >= CLEAR_POLLS and all(clear(f, v, limit) for _, v in series[-CLEAR_POLLS:])


def held(series: Series, run: list[bool]) -> bool:
    """True when the latest run of bad polls is long enough to be more than a hiccup."""
    tail = next((n for n, b in enumerate(reversed(run)) if not b), len(run))
    if tail < 2:
        return True  # a rule of one poll; time cannot be told
    first, last = series[-tail][0], series[-1][0]
    return last - first >= HELD_MS or tail >= HELD_POLLS


def recovering(series: Series) -> bool:
    """True when a share of idle time rises from poll to poll: an average that fills up after a start is no saturation."""
    last = [v for _, v in series[-RISING:]]
    return len(last) == RISING and all(b > a for a, b in pairwise(last)) and last[-1] > 1.1 * last[0]


def _first_bad(run: list[bool]) -> int:
    """Place of the first of the latest run of bad ones (of the newest observation when there is none)."""
    first = max((i for i, b in enumerate(run) if b), default=len(run) - 1)
    while first > 0 and run[first - 1]:
        first -= 1
    return first


def began(series: Series, run: list[bool]) -> int:
    """Event time of the first observation of the latest run of bad ones (of the newest when there is none)."""
    return series[_first_bad(run)][0]


def rose(f: Feature, series: Series, run: list[bool], base: Base | None) -> int:
    """As ``began``, back to where the value left what is usual: what rises slowly began before it was bad."""
    first = _first_bad(run)
    if base is not None and f.floor is not None and not f.low:
        left = base.limit(0.0, LEFT)
        while first > 0 and series[first - 1][1] > left:
            first -= 1
    return series[first][0]


def _odd(f: Feature, least: float, base: Base, series: Series, view: View) -> float | None:
    """The lower threshold of one that differs from its usual and all its peers, and does not wait longer in the queue."""
    limit = base.limit(least, f.ratio)
    if series[-1][1] <= max(limit * (1 - CLEAR_MARGIN), view.newest(WAITS) or 0.0):
        return None
    peers = view.peers(f.name)
    return max(limit, f.ratio * max(peers)) if len(peers) >= 2 else None


def unseen_since(series: Series, run: list[bool]) -> int | None:
    """When it was last seen well, where a gap in the observations lies between that and the first bad one: it may have
    begun at any time in between (0: it was never seen well). None: no gap."""
    i = _first_bad(run)
    if i == 0:
        return 0
    gaps = sorted(b[0] - a[0] for a, b in pairwise(series))
    return series[i - 1][0] if series[i][0] - series[i - 1][0] >= GAP_POLLS * gaps[len(gaps) // 2] else None


def _from_start(f: Feature, by: float, series: Series, run: list[bool], view: View) -> bool:
    """True where it is beyond the field's threshold, though not by far, since it was first read: it may be usual there."""
    start = view.start_ms(f.name)
    most = USUAL_EXCESS if f.floor is not None else IDLE_EXCESS if f.low else 0.0
    return by <= most and start is not None and began(series, run) == series[0][0] <= start


def sentence(f: Feature, value: float, base: Base | None, limit: float) -> str:
    """``put latency 4.1 s (usual 0.09 s)``."""
    if base is not None and f.floor is not None:
        return f"{f.label} {quantity(value, f.unit)} (usual {quantity(base.median, f.unit, value)})"
    word = "at least" if f.low else "at most"
    return f"{f.label} {quantity(value, f.unit)} (fine: {word} {quantity(limit, f.unit, value)})"


def quantity(value: float, unit: str, scale: float | None = None) -> str:
    """A number with its unit for people. ``scale``: the number next to it, whose unit it shares."""
    size = abs(value if scale is None else scale)
    if unit == "ms":
        return f"{number(value / 1000)} s" if size >= 1000 else f"{number(value)} ms"
    if unit in ("B", "B/s"):
        for power, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if size >= power:
                return f"{number(value / power)} {prefix}{unit}"
    if unit == "ratio":
        return f"{number(value * 100)} %"
    return f"{number(value)} {unit}".rstrip()


def number(value: float) -> str:
    """Two significant digits below 10, none behind the point from there on."""
    if abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}"


def rounded(value: float) -> float:
    """Four significant digits: what stands in a detail must not move with every poll."""
    return float(f"{value:.4g}")


def _ms(name: str, label: str, field: float, floor: float, **more: Any) -> Feature:
    return Feature(name, label, "ms", field, floor, **more)


_F = Feature
RULES: dict[str, tuple[Rule, ...]] = {
    "broker": (
        Rule("flush-slow", "M1", (_F("flush_ms", "log flush", "ms", 1000.0, peers=True),)),
        Rule("local-time-high", "M2", (
            _ms("local_produce_ms", "local time of produce", 100.0, 50.0, odd=10.0),
            _ms("local_fetch_ms", "local time of fetch", 200.0, 100.0),
        )),
        Rule("disk-filling", "M3", (_F("disk_ratio", "disk", "ratio", 0.85, fills=True),)),
        Rule("disk-full", "M4", (_F("disk_ratio", "disk", "ratio", 0.97, fills=True),), polls=2, at_once=True),
        Rule("request-queue-high", "M5", (
            _ms("queue_ms", "time in the request queue", 100.0, 50.0),
            _F("queue_size", "request queue", "requests", 100.0, 50.0),
        )),
        Rule("handler-idle-low", "M6", (_F("handler_idle", "request handlers idle", "ratio", 0.3, low=True),)),
        Rule("network-idle-low", "M7", (_F("network_idle", "network processors idle", "ratio", 0.3, low=True),)),
        Rule("request-errors-high", "M8", (_F("error_rate", "failed requests", "/s", 5.0, 2.0, add=True),)),
        Rule("heap-high", "M9", (_F("heap", "heap after collection", "ratio", 0.6, 0.6, ratio=1.2, cap=0.85),)),
        Rule("gc-long", "M10", (_ms("gc_ms", "collection pause", 1000.0, 500.0),)),
        Rule("cpu-high", "M11", (_F("cpu", "processor", "ratio", 0.6, 0.6, ratio=1.3, cap=0.9),), polls=5),
        Rule("connections-high", "M12", (
            _F("connections", "connections", "", 10_000.0, 200.0, add=True),
            _F("connection_rate", "new connections", "/s", 100.0, 20.0, add=True),
        )),
        Rule("traffic-high", "M13", (
            _F("bytes_in", "bytes in", "B/s", None, 1e6, ratio=2.0, add=True, hourly=True),
            _F("bytes_out", "bytes out", "B/s", None, 1e6, ratio=2.0, add=True, hourly=True),
        )),
        Rule("latency-high", "M14", (
            _ms("total_produce_ms", "total time of produce", 100.0, 100.0),
            _ms("total_fetch_ms", "total time of fetch", 1000.0, 1000.0),
        )),
        Rule("replication-busy", "M15", (
            _F("replication_bytes", "replication bytes in", "B/s", None, 1e6, add=True),
            _F("replica_lag", "replica lag", "records", 100_000.0, 1000.0),
        )),
        Rule("wal-slow", "M20", (_ms("wal_append_ms", "append to the write-ahead log", 100.0, 20.0),)),
        Rule("wal-full", "M21", (_F("wal_full", "appends on a full write-ahead log", "/s", 0.1, add=True),)),
        Rule("upload-pending", "M22", (_F("wal_pending", "bytes waiting for upload", "B", 1e9, 256e6, add=True),)),
        Rule("object-store-failing", "M23", (_F("object_fail", "failed object requests", "/s", 0.1, add=True),)),
        Rule("object-store-slow", "M24", (
            _ms("object_put_ms", "object put", 2000.0, 500.0),
            _ms("object_get_ms", "object get", 2000.0, 500.0),
        )),
        Rule("back-pressure", "M25", (_F("back_pressure", "back pressure state", "", 0.0),), polls=2, at_once=True),
        Rule("cache-misses-high", "M26", (_F("cache_miss", "cache misses", "/s", 100.0, 10.0, add=True),)),
        Rule("object-reads-high", "M27", (_F("object_read", "reads from the object store", "B/s", 100e6, 10e6, add=True),)),
        Rule("late-transactions", "M33", (_F("late_transactions", "partitions with late transactions", "", 0.0, add=True),)),
    ),
    "cluster": (
        Rule("balancer-delayed", "M28", (_F("balancer_delay_ms", "balancer delay", "ms", 60_000.0),)),
        Rule("slow-broker-reported", "M29", (_F("slow_brokers", "slow brokers named", "", 0.0),)),
        Rule("partition-status-odd", "M30", (_F("partitions_odd", "partitions in an unexpected status", "", 0.0, add=True),)),
    ),
    "principal": (
        Rule("throttled", "M41", (_F("throttle_ms", "throttle time", "ms", 1.0),)),
        Rule("authorization-failing", "M42", (_F("authorization", "denied requests", "/s", 0.05, 0.05, add=True),)),
        Rule("authentication-failing", "M43", (_F("authentication", "failed authentications", "/s", 0.05, 0.05, add=True),)),
        # As M46, of a client that is in no group: a producer, or a consumer that joins none.
        Rule("client-crosses-zones", "M48", (_F("cross_zone", "bytes across zones", "B/s", 50e6, 250e3, add=True),), polls=5),
    ),
    "rack": (
        Rule("probe-failing", "M44", (_F("probe_fail", "failing probes", "/s", 0.02, add=True),)),
        Rule("probe-slow", "M45", (
            _ms("probe_produce_ms", "probe's produce", 1000.0, 200.0),
            _ms("probe_consume_ms", "probe's consume", 2000.0, 500.0),
        )),
    ),
    "group": (
        # Two thirds cross where nothing is done about it, so only what was local can triple; and a bill is no emergency.
        Rule("cross-zone-high", "M46", (_F("cross_zone", "bytes across zones", "B/s", 50e6, 250e3, add=True),), polls=5),
    ),
    "link": (
        Rule("link-lagging", "M50", (
            _ms("link_lag_ms", "link behind by", 60_000.0, 30_000.0),
            _F("link_lag", "link behind by", "records", 100_000.0, 10_000.0, add=True),
        )),
        Rule("link-failing", "M51", (_F("link_error", "links in an error state", "", 0.0),), polls=2, at_once=True),
    ),
    "connect-worker": (
        Rule("worker-rebalancing", "M60", (_F("rebalancing", "rebalancing", "", 0.0),)),
        Rule("worker-overloaded", "M61", (
            _F("cpu", "worker processor", "ratio", 0.85),
            _F("heap", "worker heap after collection", "ratio", 0.85),
        )),
    ),
}  # fmt: skip
"""Entity kind → rules that are levels; those that look at more than a level are in ``metric_special``."""
