"""From the routes that are wanted and the deliveries that are open to what each destination is told: open, update, close."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kroute.contracts.alerts import Route
from kroute.routing.ledger import Opened, delivery_id
from kroute.routing.urgency import RANK

ROLE_RANK = {"impact": 0, "diagnosis": 1, "action": 2}


class Wanted(NamedTuple):
    """One role's owner as it should be told now. ``silent``: recorded, and told to nobody."""

    role: str
    team: str
    urgency: str
    destination: str
    reason: str
    via: str
    runbook: str | None = None
    escalation: str | None = None
    silent: bool = False


class Plan(NamedTuple):
    """Routes of the record, and the deliveries that are open once it was delivered."""

    routes: tuple[Route, ...]
    opened: dict[str, Opened]


def plan(incident: str, wanted: Iterable[Wanted], opened: dict[str, Opened], leaving: Callable[[Opened], str]) -> Plan:
    """Match what is wanted with what is open.

    Routes that share a destination share its delivery, at the highest urgency; the first of the highest says what to do and the
    others say ``none``, so that a delivery is acted on once per record. What is open and not wanted is closed where it was
    opened, with the reason that ``leaving`` gives (a silent route that was open gives its own).
    """
    asked = sorted(wanted, key=lambda w: (ROLE_RANK.get(w.role, 3), -RANK[w.urgency], w.team, w.destination, w.via))
    loud: dict[str, list[Wanted]] = {}
    for w in asked:
        if not w.silent:
            loud.setdefault(delivery_id(incident, w.destination), []).append(w)
    routes: list[Route] = []
    now_open: dict[str, Opened] = {}
    spoken: dict[str, None] = {}
    for w in asked:
        delivery = delivery_id(incident, w.destination)
        do, urgency = "none", w.urgency
        if not w.silent:
            leader = max(loud[delivery], key=lambda x: RANK[x.urgency])  # the first of the highest
            urgency = leader.urgency
            if w is leader:
                do = "update" if delivery in opened else "open"
                now_open[delivery] = Opened(delivery, w.destination, w.team, w.role, urgency, w.via, w.reason)
        elif delivery in opened and delivery not in loud and delivery not in spoken:
            do = "close"
            urgency = opened[delivery].urgency
        spoken[delivery] = None
        routes.append(
            Route(
                role=w.role, team=w.team, urgency=urgency, destination=w.destination, delivery=delivery, do=do, reason=w.reason,
                via=w.via, runbook=w.runbook, escalation=w.escalation,
            )
        )  # fmt: skip
    for delivery, o in sorted(opened.items()):
        if delivery not in spoken:
            routes.append(
                Route(
                    role=o.role, team=o.team, urgency=o.urgency, destination=o.destination, delivery=delivery, do="close",
                    reason=leaving(o), via=o.via,
                )
            )  # fmt: skip
    return Plan(tuple(routes), dict(sorted(now_open.items())))
