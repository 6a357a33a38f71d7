"""All topics of kroute, with partition counts, cleanup and retention, in one place.

``short`` names are used everywhere inside; the full name is ``prefix + short`` save for ``routed-alerts``.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_MS = 86_400_000
MAX_INPUT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it must exist. ``partitions`` 0: one per facts partition. ``config`` is Kafka's."""

    short: str
    partitions: int
    config: dict[str, str]
    input: bool = False
    state: bool = False
    """State inputs (ownership, policy, controls, changes) are read to their end before signals are forwarded."""


def _compact(**more: str) -> dict[str, str]:
    return {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime", **more}


def _delete(ms: int, **more: str) -> dict[str, str]:
    return {
        "cleanup.policy": "delete", "retention.ms": str(ms), "message.timestamp.type": "LogAppendTime", **more,
    }  # fmt: skip


_BIG = {"max.message.bytes": str(MAX_INPUT_BYTES)}

SIGNALS: tuple[str, ...] = ("broker-metrics", "consumer-lag", "connector-status", "topology", "access")
STATES: tuple[str, ...] = ("ownership", "changes", "controls", "policy")
INPUTS: tuple[str, ...] = SIGNALS + STATES

TOPICS: dict[str, TopicSpec] = {
    t.short: t
    for t in (
        TopicSpec("broker-metrics", 4, _delete(DAY_MS, **_BIG), input=True),
        TopicSpec("consumer-lag", 4, _delete(DAY_MS, **_BIG), input=True),
        TopicSpec("connector-status", 4, _delete(DAY_MS, **_BIG), input=True),
        TopicSpec("topology", 4, _delete(DAY_MS, **_BIG), input=True),
        TopicSpec("access", 4, _delete(DAY_MS, **_BIG), input=True),
        TopicSpec("ownership", 4, _compact(**_BIG), input=True, state=True),
        TopicSpec("changes", 4, _delete(30 * DAY_MS, **_BIG), input=True, state=True),
        TopicSpec("controls", 4, _compact(**_BIG), input=True, state=True),
        TopicSpec("policy", 1, _compact(**_BIG), input=True, state=True),
        TopicSpec("policy-history", 1, _compact(**_BIG)),
        TopicSpec("facts", 0, _delete(DAY_MS, **{"compression.type": "zstd"})),
        TopicSpec("placement", 1, _compact()),
        TopicSpec("dead-letter", 1, _delete(7 * DAY_MS)),
        TopicSpec("routed-alerts", 4, _delete(7 * DAY_MS)),
    )
}
"""Every topic by its short name. ``controls.<realm>`` topics are created like ``controls``."""

TABLES: tuple[str, ...] = (
    "broker_metrics", "consumer_lag", "connector_status", "topology", "ownership", "controls", "entities",
    "incidents", "journal",
)  # fmt: skip
"""The changelog-backed tables; each has one partition per facts partition, its changelog compact only."""


@dataclass(frozen=True)
class Names:
    """Full topic names for one installation."""

    prefix: str = "kroute."
    alerts: str = "routed-alerts"

    def full(self, short: str) -> str:
        """``consumer-lag`` → ``kroute.consumer-lag``; ``routed-alerts`` keeps its name."""
        return self.alerts if short == "routed-alerts" else self.prefix + short

    def short(self, full: str) -> str | None:
        """The inverse; ``controls.<realm>`` gives ``controls``; None for a topic that is not kroute's."""
        if full == self.alerts:
            return "routed-alerts"
        if not full.startswith(self.prefix):
            return None
        name = full[len(self.prefix) :]
        if name.startswith("controls."):
            return "controls"
        return name if name in TOPICS else None

    def realm(self, full: str) -> str | None:
        """``kroute.controls.sre`` → ``sre``; None where the topic has no realm."""
        head = self.prefix + "controls."
        return full[len(head) :] if full.startswith(head) else None
