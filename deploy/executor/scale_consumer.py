"""An example executor: scales a stateless consumer when kroute says that it may. A dry run unless ``--execute`` is given.

It needs nothing of kroute but its contract: it reads ``routed-alerts`` and reports on ``kroute.controls.<realm>``.
What it holds to, each in ``decide``:

1. only where the verdict is ``auto``, for the one remedy it knows, until ``valid_until``
2. only on the newest revision of an incident, and only for consumers that its own file names, within their limits
3. once per incident and remedy, also over restarts: its own reports are read first
4. it reports ``started`` before it acts, and acts only when that report is stored
5. when kroute says ``roll_back``, it undoes what it did itself, once
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

REMEDY = "scale-consumers"
WAIT_S = 30.0
_SCALED = re.compile(r"from (\d+) to (\d+)")


@dataclass(frozen=True)
class Target:
    """A Deployment that runs one consumer group. ``limit``: most replicas, which is the partitions of what it reads."""

    namespace: str
    deployment: str
    limit: int
    step: int = 1


@dataclass(frozen=True)
class Plan:
    """What to do now: ``scale`` or ``undo`` a target; ``why`` is for the log. ``target`` None: nothing."""

    incident: str
    what: str
    why: str
    target: Target | None = None


class Scaler(Protocol):
    """What can be scaled."""

    def replicas(self, target: Target) -> int:
        """How many run by intention."""

    def scale(self, target: Target, replicas: int) -> None:
        """Set how many run; raises ``OSError`` or ``subprocess.SubprocessError`` when it cannot."""


class Kubectl:
    """Kubernetes by its own client, with the rights of the pod's service account."""

    def replicas(self, target: Target) -> int:
        """``spec.replicas``."""
        return int(self._run(target, "get", "deployment", target.deployment, "-o", "jsonpath={.spec.replicas}"))

    def scale(self, target: Target, replicas: int) -> None:
        """``kubectl scale``."""
        self._run(target, "scale", "deployment", target.deployment, f"--replicas={replicas}")

    def _run(self, target: Target, *arguments: str) -> str:
        command = ["kubectl", "-n", target.namespace, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT_S).stdout


@dataclass
class State:
    """What is known: the newest record of each incident, and the last own report on each (its state and why)."""

    newest: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    reports: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, alert: Mapping[str, Any]) -> bool:
        """Keep a record; False where a newer one of the incident is known."""
        incident = alert.get("incident")
        if not isinstance(incident, str):
            return False
        have = self.newest.get(incident)
        if have is not None and int(have["revision"]) >= int(alert["revision"]):
            return False
        self.newest[incident] = alert
        return True

    def take_report(self, control: Mapping[str, Any] | None) -> None:
        """Keep an own report."""
        if control is not None and control.get("kind") == "action" and control.get("remedy") == REMEDY:
            self.reports[str(control.get("incident"))] = (str(control.get("state")), str(control.get("why") or ""))


def targets(path: Path) -> dict[tuple[str, str], Target]:
    """``executor.yaml``: (cluster, group) → what runs it.

    Raises:
        SystemExit: the file cannot be used; says where.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = raw["consumers"]
        return {
            (r["cluster"], r["group"]): Target(r["namespace"], r["deployment"], int(r["limit"]), int(r.get("step", 1)))
            for r in rows
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as e:
        sys.exit(f"{path}: {type(e).__name__}: {e}; consumers is a list of cluster, group, namespace, deployment, limit")


def decide(alert: Mapping[str, Any], state: State, known: Mapping[tuple[str, str], Target], now_ms: int) -> Plan:
    """What this record asks for. Pure."""
    incident = str(alert.get("incident"))

    def no(why: str) -> Plan:
        return Plan(incident, "nothing", why)

    if alert.get("type") == "heartbeat" or alert.get("status") != "firing":
        return no("it does not fire")
    if state.newest.get(incident, alert) is not alert:
        return no("a newer revision is known")  # 2
    root = (alert.get("cause") or {}).get("root") or {}
    group = (str(root.get("cluster") or alert.get("cluster")), str(root.get("name")))
    target = known.get(group) if root.get("kind") == "group" else None
    reported = state.reports.get(incident)
    if any(r.get("remedy") == REMEDY and r.get("roll_back") for r in alert.get("remedies") or ()):
        if reported is None or reported[0] not in ("started", "succeeded") or _former(reported[1]) is None:
            return no("it is to be undone, and was not done here")  # 5
        return Plan(incident, "undo", reported[1], target) if target is not None else no("no consumer of this file")
    automation = alert.get("automation") or {}
    if automation.get("verdict") != "auto" or automation.get("remedy") != REMEDY:
        return no(f"the verdict is {automation.get('verdict')} for {automation.get('remedy')}")  # 1
    if _ms(automation.get("valid_until")) <= now_ms:
        return no("the verdict is no longer valid")  # 1
    if target is None:
        return no("no consumer of this file")  # 2
    if reported is not None:
        return no(f"it was {reported[0]} before")  # 3
    return Plan(incident, "scale", str(alert.get("summary")), target)


def perform(plan: Plan, scaler: Scaler, report: Any, *, execute: bool) -> str:
    """Do what is planned; returns a line for the log. ``report(state, why)`` returns when the report is stored."""
    target = plan.target
    if target is None:
        return f"{plan.incident}: nothing, {plan.why}"
    try:
        have = scaler.replicas(target)
    except (OSError, ValueError, subprocess.SubprocessError) as e:
        return f"{plan.incident}: nothing, {target.namespace}/{target.deployment} cannot be read: {e}"
    wanted = max(have, min(target.limit, have + target.step)) if plan.what == "scale" else _former(plan.why) or have
    said = f"{target.namespace}/{target.deployment} from {have} to {wanted}"
    if wanted == have and plan.what == "undo" and execute:
        report("rolled-back", said)
    if wanted == have:
        return f"{plan.incident}: nothing, {target.namespace}/{target.deployment} has {have} of at most {target.limit}"
    if not execute:
        return f"{plan.incident}: dry run, would {plan.what} {said}"
    if plan.what == "scale":
        report("started", said)  # 4
    try:
        scaler.scale(target, wanted)
    except (OSError, subprocess.SubprocessError) as e:
        report("failed", f"{said}: {e}")
        return f"{plan.incident}: failed to {plan.what} {said}: {e}"
    report("succeeded" if plan.what == "scale" else "rolled-back", said)
    return f"{plan.incident}: {plan.what} {said}"


def _former(why: str) -> int | None:
    found = _SCALED.search(why)
    return int(found.group(1)) if found else None


def _ms(at: object) -> int:
    try:
        return int(datetime.fromisoformat(str(at)).astimezone(UTC).timestamp() * 1000)
    except ValueError:
        return 0


def client_config(path: Path | None) -> dict[str, str]:
    """``key=value`` lines; a line that begins with # is a comment. Secrets stand in this file, never on a command line.

    Raises:
        SystemExit: a line without ``=``, or a file that cannot be read.
    """
    out: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None else []
    except OSError as e:
        sys.exit(f"{path}: {e.strerror}")
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            key, eq, value = line.partition("=")
            if not eq:
                sys.exit(f"{path}:{number}: write key=value")
            out[key.strip()] = value.strip()
    return out


class Topics:
    """The two topics, by confluent-kafka."""

    def __init__(self, access: Mapping[str, str], alerts: str, controls: str, who: str) -> None:
        self._controls = controls
        self._alerts = alerts
        self._who = who
        config: dict[str, Any] = dict(access)
        self._producer = Producer({**config, "acks": "all", "enable.idempotence": True})
        self._config = {**config, "group.id": "kroute-executor", "enable.auto.commit": False, "auto.offset.reset": "earliest",
                        "enable.partition.eof": True}  # fmt: skip

    def read(self, topic: str, *, follow: bool) -> Iterator[dict[str, Any] | None]:
        """Values of a topic from its beginning; None when what was there has been read. ``follow``: go on after that."""
        consumer = Consumer(self._config)
        try:
            partitions = consumer.list_topics(topic, timeout=WAIT_S).topics[topic].partitions
            consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
            left = set(partitions)
            while left or follow:
                message = consumer.poll(1.0)
                if message is None:
                    continue
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    if left:
                        left.discard(message.partition())
                        if not left:
                            yield None
                elif error is not None:
                    raise KafkaException(error)
                else:
                    yield _json(message.value())
        finally:
            consumer.close()

    def report(self, incident: str, state: str, why: str) -> None:
        """One report, stored when this returns.

        Raises:
            SystemExit: it was not stored; nothing is done that cannot be told.
        """
        value = {"kind": "action", "id": f"{incident}-{REMEDY}", "at_ms": int(time.time() * 1000), "by": self._who, "why": why,
                 "incident": incident, "remedy": REMEDY, "state": state}  # fmt: skip
        self._producer.produce(self._controls, json.dumps(value), f"action/{incident}-{REMEDY}")
        if self._producer.flush(WAIT_S):
            sys.exit(f"{incident}: the report '{state}' was not stored; stopping")


def _json(value: bytes | str | None) -> dict[str, Any]:
    try:
        out = json.loads(value or b"{}")
    except ValueError:
        return {}
    return out if isinstance(out, dict) else {}


def main() -> None:
    """Run until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, required=True, help="executor.yaml: which Deployment runs which group")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", help="kroute's own Kafka")
    parser.add_argument("--kafka-config", type=Path, help="key=value lines for its clients (librdkafka): security.protocol, …")
    parser.add_argument("--alerts", default="routed-alerts")
    parser.add_argument("--controls", default="kroute.controls.executor", help="the realm's topic, which must exist")
    parser.add_argument("--by", default="executor/scale-consumer")
    parser.add_argument("--execute", action="store_true", help="act; without it everything is only said")
    parser.add_argument("--once", action="store_true", help="end when what is there has been read")
    options = parser.parse_args()
    known, state, scaler = targets(options.config), State(), Kubectl()
    access = {"bootstrap.servers": options.bootstrap, **client_config(options.kafka_config)}
    topics = Topics(access, options.alerts, options.controls, options.by)
    for control in topics.read(options.controls, follow=False):
        state.take_report(control)

    def act(alert: Mapping[str, Any]) -> None:
        plan = decide(alert, state, known, int(time.time() * 1000))

        def report(what: str, why: str) -> None:
            topics.report(plan.incident, what, why)
            state.reports[plan.incident] = (what, why)

        if plan.target is not None:
            print(perform(plan, scaler, report, execute=options.execute), flush=True)  # noqa: T201

    behind = True
    for alert in topics.read(options.alerts, follow=not options.once):
        if alert is None:  # only now is it known which revision is the newest
            behind = False
            for newest in list(state.newest.values()):
                act(newest)
        elif state.take(alert) and not behind:
            act(alert)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
    except KafkaException as e:
        sys.exit(f"Kafka: {e.args[0].str() if hasattr(e.args[0], 'str') else e}")
