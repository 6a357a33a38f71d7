"""Where partitions live at each step: brokers fall, leaders move to the next replica in the ISR, replicas come back."""

from __future__ import annotations

from typing import Any

from kroute.testing.signals import Signals
from kroute.testing.world import World

DOWN = ("fenced", "gone")


class Placement:
    """Topology of a case."""

    def __init__(self, world: World, signals: Signals) -> None:
        self._world = world
        self._signals = signals
        self._opened: dict[str, int] = {}

    def state(self, broker: int, step: int) -> str:
        """``alive`` | ``fenced`` | ``gone``."""
        return self._signals.word("broker", str(broker), "state", step, "alive") or "alive"

    def exists(self, topic: str, step: int) -> bool:
        """False once a topic is deleted."""
        return self._signals.number("topic", topic, "exists", step, 1.0) != 0.0

    def isr(self, topic: str, partition: int, step: int) -> list[int]:
        """Replicas in sync, in the order of the replica list."""
        return [b for b in self._world.replicas[topic][partition] if self._in_isr(b, step)]

    def _in_isr(self, broker: int, step: int) -> bool:
        return self.state(broker, step) == "alive" and self._signals.number("broker", str(broker), "in_isr", step, 1.0) != 0.0

    def leader(self, topic: str, partition: int, step: int) -> int:
        """The first replica in sync that may lead; -1 where there is none."""
        isr = self.isr(topic, partition, step)
        willing = [b for b in isr if self._signals.number("broker", str(b), "leads", step, 1.0) != 0.0]
        return (willing or isr or [-1])[0]

    def topology(self, step: int, now_ms: int) -> dict[str, Any]:
        """The body of a topology message."""
        world = self._world
        brokers: list[dict[str, Any]] = []
        for b, rack in world.brokers.items():
            state = self.state(b, step)
            if state == "gone":
                continue
            error = self._signals.word("broker", str(b), "log_dir_error", step, None)
            info: dict[str, Any] = {"id": b, "host": f"b{b}", "state": state, "platform": world.case.spec.platform}
            if rack:
                info["rack"] = rack
            info["log_dirs"] = [{"path": "/data", **({"error": error} if error and error != "none" else {})}]
            brokers.append(info)
        out: dict[str, Any] = {
            "platform": world.case.spec.platform,
            "brokers": brokers,
            "topics": self._topics(step),
            "controller": self._controller(step, now_ms),
        }
        transactions = self._transactions(step, now_ms)
        return {**out, "transactions": transactions} if world.case.spec.estate.transactions else out

    def _topics(self, step: int) -> list[dict[str, Any]]:
        moving = int(self._signals.number("cluster", "", "reassigning", step, 0.0) or 0)
        out: list[dict[str, Any]] = []
        for name, spec in self._world.topics.items():
            if not self.exists(name, step):
                continue
            parts: list[dict[str, Any]] = []
            for p, replicas in enumerate(self._world.replicas[name]):
                part: dict[str, Any] = {
                    "id": p, "leader": self.leader(name, p, step), "replicas": list(replicas), "isr": self.isr(name, p, step),
                }  # fmt: skip
                if moving > 0:
                    moving -= 1
                    new = [b for b in self._world.brokers if b not in replicas][:1] or [replicas[-1]]
                    part |= {"replicas": [*replicas, *(b for b in new if b not in replicas)], "adding": new}
                parts.append(part)
            config = {"cleanup.policy": "delete", "min.insync.replicas": str(min(2, spec.replication, len(self._world.brokers)))}
            out.append({"name": name, "partitions": parts, "config": {**config, **spec.config}})
        return out

    def controller_id(self, step: int) -> int:
        """The active controller; -1 where there is none."""
        stated = self._signals.number("cluster", "", "controller", step, None)
        if stated is not None:
            return int(stated)
        return next((b for b in self._world.brokers if self.state(b, step) == "alive"), -1)

    def _controller(self, step: int, now_ms: int) -> dict[str, Any]:
        epoch = int(self._signals.number("cluster", "", "epoch", step, 44.0) or 44)
        quorum: list[dict[str, int]] = []
        for b in self._world.brokers:
            lag = self._signals.number("broker", str(b), "quorum_lag", step, 0.0) or 0.0
            if self.state(b, step) != "gone":
                quorum.append({"id": b, "lag": int(lag), "caught_up_at_ms": now_ms - int(lag)})
        return {"leader": self.controller_id(step), "epoch": epoch, "voters": list(self._world.brokers), "quorum": quorum}

    def _transactions(self, step: int, now_ms: int) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for name, spec in self._world.case.spec.estate.transactions.items():
            state = self._signals.word("transaction", name, "state", step, None)
            if state is None:
                self._opened.pop(name, None)
                continue
            if state != "Ongoing":
                self._opened.pop(name, None)
            elif name not in self._opened:
                self._opened[name] = now_ms
            parts = [[t, p] for t in spec.topics for p in range(self._world.partitions(t))]
            row = {"id": name, "state": state, "partitions": parts}
            out.append({**row, "started_at_ms": self._opened[name]} if name in self._opened else row)
        return out
