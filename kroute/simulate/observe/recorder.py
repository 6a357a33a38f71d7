"""The rhythm of polls: each source in its own phase of the interval, with jitter, from the start to the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from kroute.simulate.happening import Happening
from kroute.simulate.model import Model
from kroute.simulate.observe import groups, metrics, rows, topology
from kroute.simulate.observe.delivery import Delivery, Line, Plain
from kroute.simulate.spec import CLUSTER, CONNECT

Told = tuple[str, str, Plain]
"""What a source says: short topic, key, value."""


class _Source:
    """One thing that is polled: ``name`` as telemetry names it, ``told`` when it answers, ``down`` when it does not."""

    def __init__(self, name: str, told: Callable[[int], Iterable[Told]], down: Callable[[int, str], Iterable[Told]]) -> None:
        self.name = name
        self.told = told
        self.down = down
        self.due_ms = 0.0


class Recorder:
    """Polls a model as it runs."""

    def __init__(
        self, m: Model, delivery: Delivery, interval_s: float, happenings: list[Happening], rng: np.random.Generator
    ) -> None:
        self.m = m
        self.out = delivery
        self.every = int(interval_s * 1000)
        self.happenings = happenings
        self.rng = rng
        self._known: set[int] = set()
        self._shared: tuple[int, metrics.Shared] | None = None
        self.monitored_apart = bool(rng.random() < 0.5)
        """True: scrapes go over a network of their own, which a rack's or the platform's trouble spares."""
        self.sources = list(self._sources())
        for s in self.sources:
            s.due_ms = m.started_ms + float(rng.uniform(0, self.every))

    def state(self) -> None:
        """What is known before the first poll: ownership rows; and everything announced in the run."""
        at = self.m.started_ms - 5000
        for row in rows.ownership(self.m.ix.estate):
            self.out.lines.append(Line(at, "ownership", f"{row['kind']}/{row['cluster']}/{row['name']}", row))
        for h in self.happenings:
            for change in h.changes:
                said = min(change["starts_at_ms"], self.m.started_ms + int(h.from_s * 1000))
                self.out.say("changes", change["id"], change, max(said, at))
            for when, row in h.rows:
                key = f"{row['kind']}/{row['cluster']}/{row['name']}"
                self.out.say("ownership", key, row, self.m.started_ms + int(when * 1000))

    def step(self) -> None:
        """Everything that is due before the model's next step."""
        until = self.m.now_ms + self.m.dt * 1000
        for s in self.sources:
            while s.due_ms < until:
                self._poll(s, int(s.due_ms + self.rng.uniform(0, self.out.how.jitter) * self.every))
                s.due_ms += self.every

    def _poll(self, s: _Source, at_ms: int) -> None:
        silent = self._silenced(s.name)
        if silent == "mute":
            return
        error = "no answer within 5 s: connection timed out" if silent else self._unreachable(s.name)
        for topic, key, value in s.down(at_ms, error) if error else s.told(at_ms):
            self.out.poll(topic, key, value)

    def _silenced(self, name: str) -> str:
        now = self.m.now_s
        for h in self.happenings:
            if h.from_s <= now < h.to_s and h.silent and _covers(h.silent, name):
                return "mute" if h.mute else "down"
        return ""

    def _unreachable(self, name: str) -> str:
        """A process that is not there, or behind a network that is not, cannot be scraped."""
        m = self.m
        kind, _, rest = name.removeprefix("broker-metrics/").partition("/")
        if kind == "broker":
            i = next(i for i, b in enumerate(m.ix.estate.brokers) if str(b.id) == rest)
            if not m.s.up[i]:
                return f"b{rest}:9404: connection refused"
            loss = max(float(m.k.rack_loss[m.ix.broker_rack[i]]), float(m.k.loss[i]))
            if not self.monitored_apart and (loss >= 1.0 or self.rng.random() < loss**4):
                return f"b{rest}:9404: no answer within 5 s"
        if kind == "probe" and not self.monitored_apart:
            rack = m.ix.racks.index(rest.removeprefix("probe-"))
            if m.k.rack_loss[rack] >= 1.0:
                return f"{rest}:9404: no answer within 5 s"
        return ""

    def _share(self) -> metrics.Shared:
        if self._shared is None or self._shared[0] != self.m.i:
            self._shared = (self.m.i, metrics.Shared(self.m))
        return self._shared[1]

    # -- sources -----------------------------------------------------------------------------------------------

    def _sources(self) -> Iterable[_Source]:
        e = self.m.ix.estate
        for i, b in enumerate(e.brokers):
            yield self._scrape("broker", str(b.id), b.cluster, partial(self._broker, i))
        for w, worker in enumerate(e.workers):
            yield self._scrape("connect-worker", worker.id, CLUSTER, partial(metrics.worker, self.m, w, self.rng))
        for rack in e.racks:
            yield self._scrape("probe", f"probe-{rack}", CLUSTER, partial(metrics.probe, self.m, rack, self.rng))
        if e.link is not None:
            yield self._scrape("link", e.link.name, CLUSTER, partial(metrics.link, self.m, self.rng))
        for cluster in e.clusters:
            mine = [g for g, x in enumerate(e.groups) if x.cluster == cluster]
            yield _Source("consumer-lag", partial(self._groups, mine), partial(self._groups_down, mine))
            yield _Source("topology", partial(self._topology, cluster), partial(self._topology_down, cluster))
        yield _Source(f"connector-status/{CONNECT}", self._connectors, self._connectors_down)
        yield _Source("access", self._access, self._access_down)

    def _broker(self, i: int) -> list[Plain]:
        return metrics.broker(self.m, i, self._share(), self.rng)

    def _topology(self, cluster: str, at_ms: int) -> Iterable[Told]:
        yield "topology", cluster, topology.message(self.m, cluster, at_ms, self.every)

    def _topology_down(self, cluster: str, at_ms: int, why: str) -> Iterable[Told]:
        yield "topology", cluster, self._head(cluster, at_ms, why)

    def _connectors(self, at_ms: int) -> Iterable[Told]:
        for i, c in enumerate(self.m.ix.estate.connectors):
            yield "connector-status", f"{CLUSTER}/{c.entity}", topology.connector(self.m, i, at_ms, self.every)

    def _connectors_down(self, at_ms: int, why: str) -> Iterable[Told]:
        for c in self.m.ix.estate.connectors:
            told = {**self._head(CLUSTER, at_ms, why), "connect": CONNECT, "connector": c.name}
            yield "connector-status", f"{CLUSTER}/{c.entity}", told

    def _access_down(self, at_ms: int, why: str) -> Iterable[Told]:
        yield "access", CLUSTER, self._head(CLUSTER, at_ms, why)

    def _head(self, cluster: str, at_ms: int, error: str) -> Plain:
        return {"cluster": cluster, "observed_at_ms": at_ms, "interval_ms": self.every, "up": False, "error": error}

    def _scrape(self, kind: str, name: str, cluster: str, read: Callable[[], list[Plain]]) -> _Source:
        head = {"cluster": cluster, "interval_ms": self.every, "source": metrics.source(self.m, kind, name)}
        key = f"{cluster}/{kind}/{name}"
        full = f"{CONNECT}/{name}" if kind == "connect-worker" else name

        def told(at_ms: int) -> Iterable[Told]:
            yield "broker-metrics", key, {**head, "observed_at_ms": at_ms, "samples": read()}

        def down(at_ms: int, why: str) -> Iterable[Told]:
            yield "broker-metrics", key, {**head, "observed_at_ms": at_ms, "up": False, "error": why}

        return _Source(f"broker-metrics/{kind}/{full}", told, down)

    def _groups(self, mine: list[int], at_ms: int) -> Iterable[Told]:
        for n, g in enumerate(mine):
            spec = self.m.ix.estate.groups[g]
            told = groups.message(self.m, g, at_ms + n, self.every)
            if told is not None:
                self._known.add(g)
                yield "consumer-lag", f"{spec.cluster}/{spec.name}", told

    def _groups_down(self, mine: list[int], at_ms: int, why: str) -> Iterable[Told]:
        for g in mine:
            spec = self.m.ix.estate.groups[g]
            if g in self._known:
                yield "consumer-lag", f"{spec.cluster}/{spec.name}", {**self._head(spec.cluster, at_ms, why), "group": spec.name}

    def _access(self, at_ms: int) -> Iterable[Told]:
        m, e = self.m, self.m.ix.estate
        names = [p.name for p in e.principals]
        acls = [
            {"principal": w, "resource": f"Topic:{t.name}", "operation": "WRITE", "permission": "ALLOW"}
            for t in e.topics if t.cluster == CLUSTER for w in t.producers
        ]  # fmt: skip
        quotas = [
            {"principal": p.name, "client_id": None, "key": "producer_byte_rate", "value": p.quota}
            for p in e.principals if p.quota is not None
        ]  # fmt: skip
        denials = [
            {"principal": names[u], "resource": f"Topic:{m.denied_resource.get(u, '*')}", "operation": "READ",
             "host": f"10.9.{u % 250}.7", "count": int(m.k.denied[u] * self.every / 1000)}
            for u in np.flatnonzero(m.k.denied > 0).tolist()
        ]  # fmt: skip
        yield "access", CLUSTER, {
            "cluster": CLUSTER, "observed_at_ms": at_ms, "interval_ms": self.every, "acls": acls, "quotas": quotas,
            "denials": denials,
        }  # fmt: skip


def _covers(silent: set[str], name: str) -> bool:
    return any(x in (name, "*") or name.startswith(x + "/") for x in silent)
