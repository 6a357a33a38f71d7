"""The parts of a routing policy as they are written: conditions, routes, grants, freezes, numbers. Each checks itself."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from kroute.contracts.alerts import URGENCIES
from kroute.diagnosis.durations import seconds
from kroute.routing.calendars import instant

Role = Literal["impact", "diagnosis", "action"]
ROLES: tuple[Role, ...] = ("impact", "diagnosis", "action")
NAMED_ONLY = ("objective-breached", "cause-uncertain", "availability-threatened", "roll-back", "made-worse")
"""Reasons of rules 3 and 4, and of undoing a remedy: a policy route touches them only by naming them in ``when.reason``."""


class Numbers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of the incident life; ``_s`` seconds, ``_d`` days, the others ratios 0–1 or counts.

    ``settle_s``: from first symptom to alert. ``hold_s``: quiet before resolved. ``repeat_s``: a page still open is said
    again. ``page_confidence``: from here the action owner is paged. ``lateness_s``: how late a symptom may be.
    ``drill_age_d``: age up to which a drill counts. ``automation_confidence``: confidence that automation asks for.
    ``cooldown_s``: pause between two runs of one remedy. ``automation_valid_s``: how long a verdict may be acted on.
    ``flap_count``: openings within one hold that make it flapping. ``flood_pages``: pages that one team gets within
    ``flood_within_s`` before further ones are collapsed into one (ISA-18.2: 10 in 10 minutes); 0: never.
    """

    settle_s: float = 30
    hold_s: float = 600
    repeat_s: float = 14_400
    page_confidence: float = 0.7
    lateness_s: float = 60
    drill_age_d: float = 90
    automation_confidence: float = 0.9
    cooldown_s: float = 3600
    automation_valid_s: float = 900
    flap_count: float = 3
    flood_pages: float = 10
    flood_within_s: float = 600

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} is {value}; it must be a number from 0 on")
            if name.endswith("confidence") and value > 1:
                raise ValueError(f"{name} is {value}; it is a ratio from 0 to 1")


Tier = tuple[str | int, ...] | str | int


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions of a route, all of which must hold; of a list, one. Patterns may end in ``*``.

    ``entity``: the root, as ``kind/name`` or its name. ``data_class``: of the topics, groups and connectors it touches.
    ``confidence``: at least this. ``inside``, ``outside``: a calendar is on, or off.
    """

    cause: tuple[str, ...] = ()
    entity: tuple[str, ...] = ()
    data_class: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    confidence: float | None = None
    service: tuple[str, ...] = ()
    service_tier: Tier = ()
    tier: Tier = ()
    urgency: tuple[str, ...] = ()
    reason: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    objective: str | tuple[str, ...] = ()
    inside: str | None = None
    outside: str | None = None

    def tiers(self) -> tuple[str, ...]:
        """Tiers of either spelling, as text."""
        return tuple(str(t) for x in (self.tier, self.service_tier) for t in (x if isinstance(x, tuple) else (x,)))

    def objectives(self) -> tuple[str, ...]:
        """Objective states."""
        return (self.objective,) if isinstance(self.objective, str) else self.objective


class Escalate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page that nobody acknowledged ``after`` this long is told to another team too, and stays told."""

    after: str
    to: str
    urgency: str = "page"

    def after_ms(self) -> int:
        """``after`` in ms."""
        return int(seconds(self.after) * 1000)

    def __post_init__(self) -> None:
        if seconds(self.after) <= 0:
            raise ValueError(f"after is {self.after!r}; it must be longer than nothing")
        if self.urgency not in URGENCIES:
            raise ValueError(f"urgency is {self.urgency!r}; it is one of {', '.join(URGENCIES)}")


class PolicyRoute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named route: who is told how when the conditions hold. Roles as a list, or as ``"action, impact"``.

    ``repeat`` and ``escalate`` are about pages that stay open without an acknowledgement; for roles that the route names,
    or for all where it names none.
    """

    name: str
    when: When = When()
    page: str | tuple[str, ...] = ()
    ticket: str | tuple[str, ...] = ()
    notify: str | tuple[str, ...] = ()
    repeat: str | None = None
    escalate: Escalate | None = None

    def __post_init__(self) -> None:
        if self.repeat is not None and seconds(self.repeat) < 60:
            raise ValueError(f"repeat is {self.repeat!r}; it must be a minute or more")

    def repeat_ms(self) -> int | None:
        """``repeat`` in ms."""
        return None if self.repeat is None else int(seconds(self.repeat) * 1000)

    def concerns(self, role: str) -> bool:
        """True when what the route says of repeating and escalating holds for the role."""
        roles = self.urgencies()
        return not roles or role in roles

    def urgencies(self) -> dict[str, str]:
        """Role → urgency, the highest where a role stands twice."""
        out: dict[str, str] = {}
        for urgency, roles in (("notify", self.notify), ("ticket", self.ticket), ("page", self.page)):
            words = roles.split(",") if isinstance(roles, str) else roles
            out.update({w.strip(): urgency for w in words if w.strip()})
        return out


class GrantWhen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a grant holds. ``labels`` are those of the service row; ``root`` and ``cluster`` are patterns."""

    cause: str | tuple[str, ...] = ()
    root: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    labels: dict[str, str | bool | int | float] = {}

    def causes(self) -> tuple[str, ...]:
        """Causes that are named."""
        return (self.cause,) if isinstance(self.cause, str) else self.cause


class Grant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A remedy that may run by itself, where all else is proved.

    ``drilled_within`` such as ``90d``. ``until``: a day (to its end, UTC) or a time, after which the grant is none.
    """

    name: str
    remedy: str
    when: GrantWhen = GrantWhen()
    drilled_within: str | None = None
    confidence: float | None = None
    until: str | None = None

    def until_ms(self) -> int | None:
        """``until`` in epoch ms."""
        return None if self.until is None else instant(f"{self.until}T23:59:59.999Z" if len(self.until) == 10 else self.until)

    def drill_age_d(self) -> float | None:
        """``drilled_within`` in days."""
        return float(self.drilled_within[:-1]) if self.drilled_within else None

    def __post_init__(self) -> None:
        if self.drilled_within is not None and not (
            self.drilled_within.endswith("d") and self.drilled_within[:-1].isdecimal() and self.drilled_within.isascii()
        ):
            raise ValueError(f"drilled_within is {self.drilled_within!r}; write days, such as 90d")
        self.until_ms()
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence is {self.confidence}; it is a ratio from 0 to 1")


class Freeze(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No automation while the calendar is on: of any remedy in any cluster, or of those that are listed."""

    calendar: str
    cluster: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()


class AutomationPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``glob_width``: literal characters an ownership pattern must have to prove an owner; None: literal rows only."""

    grants: tuple[Grant, ...] = ()
    freeze: tuple[Freeze, ...] = ()
    glob_width: int | None = None


class TeamSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Destinations of a team that has no row, or that the policy reaches for an escalation."""

    page: str | None = None
    ticket: str | None = None
    notify: str | None = None
