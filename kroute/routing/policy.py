"""The routing policy in force: checked before it replaces another, with numbers that hold where it says nothing."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
from msgspec import Struct

from kroute.contracts.alerts import OBJECTIVE_STATES, URGENCIES
from kroute.contracts.rows import CONTROL_KINDS, Policy
from kroute.routing.calendars import Calendar, CalendarError, read_calendar
from kroute.signals.model import Rows

Role = Literal["impact", "diagnosis", "action"]
ROLES: tuple[Role, ...] = ("impact", "diagnosis", "action")
NAMED_ONLY = ("objective-breached", "cause-uncertain", "availability-threatened")
"""Reasons of rules 3 and 4: a policy route touches them only by naming them in ``when.reason``."""


class Numbers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of the incident life; ``_s`` seconds, ``_d`` days, the others ratios 0–1 or counts.

    ``settle_s``: from first symptom to alert. ``hold_s``: quiet before resolved. ``repeat_s``: a page still open is said
    again. ``page_confidence``: from here the action owner is paged. ``lateness_s``: how late a symptom may be.
    ``drill_age_d``: age up to which a drill counts. ``automation_confidence``: confidence that automation asks for.
    ``cooldown_s``: pause between two runs of one remedy. ``automation_valid_s``: how long a verdict may be acted on.
    ``flap_count``: openings within one hold that make it flapping.
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

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} is {value}; it must be a number from 0 on")
            if name.endswith("confidence") and value > 1:
                raise ValueError(f"{name} is {value}; it is a ratio from 0 to 1")


Tier = tuple[str | int, ...] | str | int


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions of a route, all of which must hold; of a list, one. Patterns may end in ``*``."""

    cause: tuple[str, ...] = ()
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


class PolicyRoute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named route: who is told how when the conditions hold. Roles as a list, or as ``"action, impact"``."""

    name: str
    when: When = When()
    page: str | tuple[str, ...] = ()
    ticket: str | tuple[str, ...] = ()
    notify: str | tuple[str, ...] = ()

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
    """A remedy that may run by itself, where all else is proved. ``drilled_within`` such as ``90d``."""

    name: str
    remedy: str
    when: GrantWhen = GrantWhen()
    drilled_within: str | None = None
    confidence: float | None = None

    def drill_age_d(self) -> float | None:
        """``drilled_within`` in days."""
        return float(self.drilled_within[:-1]) if self.drilled_within else None

    def __post_init__(self) -> None:
        if self.drilled_within is not None and not (
            self.drilled_within.endswith("d") and self.drilled_within[:-1].isdecimal() and self.drilled_within.isascii()
        ):
            raise ValueError(f"drilled_within is {self.drilled_within!r}; write days, such as 90d")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence is {self.confidence}; it is a ratio from 0 to 1")


class Freeze(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No automation while the calendar is on."""

    calendar: str


class AutomationPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``glob_width``: literal characters an ownership pattern must have to prove an owner; None: literal rows only."""

    grants: tuple[Grant, ...] = ()
    freeze: tuple[Freeze, ...] = ()
    glob_width: int | None = None


class InForce(Struct, frozen=True, kw_only=True):
    """A checked policy."""

    version: str = "default"
    numbers: Numbers = Numbers()
    routes: tuple[PolicyRoute, ...] = ()
    automation: AutomationPolicy = AutomationPolicy()
    calendars: dict[str, Calendar] = {}
    realms: dict[str, tuple[str, ...]] = {}
    teams: dict[str, dict[str, Any]] = {}
    """Team → urgency → destination, for teams that have no row."""

    def allows(self, realm: str | None, kind: str) -> bool:
        """True when controls of this kind count when they come from this realm (None: the topic without one)."""
        return not self.realms or kind in self.realms.get(realm or "", ())

    def on(self, calendar: str, now_ms: int) -> bool:
        """True when the calendar is on; one that is not known is off."""
        c = self.calendars.get(calendar)
        return c is not None and c.on(now_ms)


DEFAULT = InForce()


def check(policy: Policy) -> tuple[InForce | None, list[str]]:
    """The policy ready for use, or what is wrong with it: one sentence with its field path per problem."""
    problems: list[str] = []
    numbers = _read(policy.defaults, Numbers, "defaults", problems)
    routes = [_read(r, PolicyRoute, f"routes[{i}]", problems) for i, r in enumerate(policy.routes)]
    automation = _read(policy.automation, AutomationPolicy, "automation", problems)
    calendars: dict[str, Calendar] = {}
    for name, value in policy.calendars.items():
        try:
            calendars[name] = read_calendar(value)
        except CalendarError as e:
            problems.append(f"calendars.{name}: {e}")
    seen: dict[str, None] = {}
    for i, route in enumerate(routes):
        if route is None:
            continue
        at = f"routes[{i}]"
        if not route.name or route.name in seen:
            problems.append(f"{at}.name: {route.name!r} stands here twice or is empty; a route is known by its name")
        seen[route.name] = None
        urgencies = route.urgencies()
        if not urgencies:
            problems.append(f"{at}: says nothing; give page, ticket or notify with roles")
        problems += [f"{at}: {r!r} is no role; roles are {', '.join(ROLES)}" for r in urgencies if r not in ROLES]
        problems += [
            f"{at}.when.urgency: {u!r} is none of {', '.join(URGENCIES)}" for u in route.when.urgency if u not in URGENCIES
        ]
        problems += [
            f"{at}.when.objective: {o!r} is none of {', '.join(OBJECTIVE_STATES)}"
            for o in route.when.objectives()
            if o not in OBJECTIVE_STATES
        ]
        problems += [
            f"{at}.when: calendar {c!r} is not defined under calendars"
            for c in (route.when.inside, route.when.outside)
            if c is not None and c not in policy.calendars
        ]
    if automation is not None:
        problems += [
            f"automation.freeze[{i}]: calendar {f.calendar!r} is not defined under calendars"
            for i, f in enumerate(automation.freeze)
            if f.calendar not in policy.calendars
        ]
    for realm, kinds in policy.realms.items():
        problems += [f"realms.{realm}: {k!r} is none of {', '.join(CONTROL_KINDS)}" for k in kinds if k not in CONTROL_KINDS]
    if problems or numbers is None or automation is None:
        return None, problems
    ready = InForce(
        version=policy.version,
        numbers=numbers,
        routes=tuple(r for r in routes if r is not None),
        automation=automation,
        calendars=calendars,
        realms=policy.realms,
        teams=policy.teams,
    )
    return ready, []


class PolicyBook:
    """Holds the policy in force; its row stands in the table ``controls`` under ``policy``."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.current: InForce = DEFAULT
        self.problems: tuple[str, ...] = ()
        """What was wrong with the last policy that was refused; empty when the last one was taken."""

    def put(self, raw: bytes | None, policy: Policy | None) -> list[str]:
        """Take a policy, or return its problems and keep the one in force. None: back to the built-in default."""
        if policy is None or raw is None:
            self.current, self.problems = DEFAULT, ()
            self._rows.drop("controls", "policy")
            return []
        ready, problems = check(policy)
        self.problems = tuple(problems)
        if ready is not None:
            self.current = ready
            self._rows.put("controls", "policy", raw)
        return problems

    def load(self, value: bytes) -> None:
        """The row at recovery; one that this version cannot use leaves the default, with its problems."""
        ready, problems = check(msgspec.json.decode(value, type=Policy))
        self.problems = tuple(problems)
        if ready is not None:
            self.current = ready


def _read(value: Any, type_: type[Any], at: str, problems: list[str]) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as e:
        text, _, where = str(e).partition(" - at `$")
        problems.append(f"{at}{where.rstrip('`')}: {text.replace('Object ', '').replace('`', chr(39))}")
        return None
