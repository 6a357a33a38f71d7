"""The messages a collector would send at one step: topology, scrapes, groups, connectors."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from kroute.testing.case import ConnectorSpec
from kroute.testing.offsets import Commits, Log
from kroute.testing.placement import Placement
from kroute.testing.scrapes import broker_samples, labelled, link_samples, probe_samples, worker_samples
from kroute.testing.signals import Signals
from kroute.testing.vocabulary import SINK, SOURCE
from kroute.testing.world import World


class Sent(NamedTuple):
    """One message: short topic, record key, value without ``None``, and the entities that ``late`` may name it by."""

    topic: str
    key: str
    value: dict[str, Any]
    entity: str


class Polls:
    """Everything that is polled, step by step; to be called once per step, in order."""

    def __init__(self, world: World, signals: Signals) -> None:
        self._world = world
        self._signals = signals
        self._log = Log(world, signals)
        self._commits = {g: Commits(world, signals, self._log, g) for g in world.groups}
        self._placement = Placement(world, signals)
        self._ended: set[str] = set()
        self._since: dict[str, int] = {}

    def step(self, step: int) -> list[Sent]:
        """The messages of a step, in the order a collector reads them."""
        if self._signals.number("collector", "", "up", step, 1.0) is None:
            return []
        out: list[Sent | None] = [self._topology(step)]
        out += [self._broker(b, step) for b in self._world.brokers]
        out += [self._other("connect-worker", f"{c}/{w}", w, step, {"connect": c}) for c, w in self._world.workers]
        out += [self._other("rack", r, r, step, {"rack": r}) for r in self._world.probes]
        out += [self._other("link", n, n, step, {}) for n in self._world.links]
        out += [self._group(g, step) for g in self._world.groups]
        out += [self._connector(n, c, step) for n, c in self._world.connectors.items()]
        return [s for s in out if s is not None]

    def _head(self, step: int, up: bool) -> dict[str, Any]:
        case = self._world.case
        head: dict[str, Any] = {
            "cluster": self._world.cluster,
            "observed_at_ms": case.start_ms + step * case.every_ms,
            "interval_ms": case.every_ms,
        }
        return head if up else {**head, "up": False, "error": "timed out after 5 s"}

    def _up(self, kind: str, name: str, step: int) -> bool | None:
        if self._signals.number("collector", "", "up", step, 1.0) == 0.0:
            return False
        up = self._signals.number(kind, name, "up", step, 1.0)
        return None if up is None else up != 0.0

    def _topology(self, step: int) -> Sent | None:
        up = self._up("topology", "", step)
        if up is None:
            return None
        now = self._world.case.start_ms + step * self._world.case.every_ms
        body = self._placement.topology(step, now) if up else {}
        return Sent("topology", self._world.cluster, {**self._head(step, up), **body}, f"topology/{self._world.cluster}")

    def _broker(self, broker: int, step: int) -> Sent | None:
        up = self._up("broker", str(broker), step)
        if up is None or self._placement.state(broker, step) == "gone":
            return None  # nothing answers where no process runs
        world = self._world
        source = {"kind": "broker", "id": str(broker), "platform": world.case.spec.platform}
        if world.brokers[broker]:
            source["rack"] = world.brokers[broker] or ""
        samples = broker_samples(world, self._signals, self._log, self._placement, broker, step) if up else []
        value = {**self._head(step, up), "source": source, "samples": samples}
        return Sent("broker-metrics", f"{world.cluster}/{broker}", value, f"broker/{broker}")

    def _other(self, kind: str, name: str, ident: str, step: int, more: dict[str, str]) -> Sent | None:
        up = self._up(kind, name, step)
        if up is None:
            return None
        make = {"connect-worker": worker_samples, "rack": probe_samples, "link": link_samples}[kind]
        source = {"kind": "probe" if kind == "rack" else kind, "id": ident, **more}
        samples = make(self._signals, name, step) if up else []
        value = {**self._head(step, up), "source": source, "samples": samples}
        return Sent("broker-metrics", f"{self._world.cluster}/{name}", value, f"{kind}/{name}")

    # -- groups ----------------------------------------------------------------------------------------------

    def _group(self, group: str, step: int) -> Sent | None:
        commits = self._commits[group]
        seen = commits.observed(step)
        offsets = commits.step(step)
        up = self._up("group", group, step)
        if up is None or not seen:
            return None
        g = self._world.groups[group]
        value = {**self._head(step, up), "group": group}
        key = f"{self._world.cluster}/{group}"
        if not up:
            return Sent("consumer-lag", key, value, f"group/{group}")
        count = int(self._signals.number("group", group, "members", step, float(self._world.members(group))) or 0)
        state = self._signals.word("group", group, "state", step, None) or ("Stable" if count else "Empty")
        value |= {"state": state, "protocol": g.protocol, "coordinator": self._world.coordinator(group)}
        if state == "Dead":
            if group in self._ended:
                return None
            self._ended.add(group)
            return Sent("consumer-lag", key, value, f"group/{group}")
        self._ended.discard(group)
        epoch = self._signals.number("group", group, "epoch", step, None)
        if epoch is not None:
            value["group_epoch"] = int(epoch)
        there = {at: o for at, o in offsets.items() if self._placement.exists(at[0], step)}
        value["members"] = self._members(group, count, list(there), step)
        value["partitions"] = [
            {
                "topic": t, "partition": p, "committed": o, "end": int(self._log.ends[t, p][step]),
                "stable_end": self._log.stable[t, p][step], "start": self._log.starts[t, p][step],
                "leader": self._placement.leader(t, p, step),
            }
            for (t, p), o in there.items()
        ]  # fmt: skip
        return Sent("consumer-lag", key, value, f"group/{group}")

    def _members(self, group: str, count: int, parts: list[tuple[str, int]], step: int) -> list[dict[str, Any]]:
        g = self._world.groups[group]
        generation = int(self._signals.number("group", group, "generation", step, 0.0) or 0)
        mine = [at for at in parts if g.assigned is None or at[0] in g.assigned]
        out: list[dict[str, Any]] = []
        for i in range(count):
            assigned: dict[str, list[int]] = {}
            for t, p in mine[i::count]:
                assigned.setdefault(t, []).append(p)
            name = f"{group}-{i + 1}" + (f"-{generation}" if generation else "")
            member: dict[str, Any] = {"member_id": name, "client_id": f"{group}-{i + 1}", "host": f"10.0.1.{i + 1}"}
            if g.racks:
                member["rack"] = g.racks[i % len(g.racks)]
            out.append({**member, "assignment": [[t, ps] for t, ps in assigned.items()]})
        return out

    # -- connectors ------------------------------------------------------------------------------------------

    def _connector(self, name: str, c: ConnectorSpec, step: int) -> Sent | None:
        up = self._up("connector", name, step)
        if up is None:
            return None
        connect, short = name.split("/", 1)
        value = {**self._head(step, up), "connect": connect, "connector": short, "type": c.type, "topics": list(c.topics)}
        value |= {k: v for k, v in (("group", c.group), ("system", c.system), ("class", c.class_)) if v}
        if up:
            value |= {"state": self._signals.word("connector", name, "state", step, "RUNNING"), "worker": c.workers[0]}
            value["tasks"] = [self._task(name, c, i, step) for i in range(c.tasks)]
        return Sent("connector-status", f"{self._world.cluster}/{name}", value, f"connector/{name}")

    def _task(self, name: str, c: ConnectorSpec, task: int, step: int) -> dict[str, Any]:
        labels = {"task": str(task)}
        state = self._signals.value("connector", name, "task_state", step, "RUNNING", labels) or "RUNNING"
        out: dict[str, Any] = {"id": task, "state": state, "worker": c.workers[task % len(c.workers)]}
        if state == "FAILED":
            trace = self._signals.word("connector", name, "trace", step, None)
            text = self._world.case.spec.traces.get(trace, trace) if trace else c.trace
            out["trace"] = text or "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask"
            return out
        usual = SINK if c.type == "sink" else SOURCE
        metrics = {n: v for n, _, v in labelled(self._signals, "connector", name, step, usual, labels)}
        return {**out, "metrics": metrics} if state == "RUNNING" else out


def encode(value: dict[str, Any]) -> bytes:
    """JSON of a message."""
    return msgspec.json.encode(value)
