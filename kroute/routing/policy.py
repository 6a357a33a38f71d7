"""The routing policy in force: checked before it replaces another, with numbers that hold where it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from kroute.contracts.alerts import OBJECTIVE_STATES, SEVERITIES, URGENCIES
from kroute.contracts.rows import CONTROL_KINDS, Policy
from kroute.routing.calendars import Calendar, CalendarError, read_calendar
from kroute.routing.rules import ROLES, AutomationPolicy, Numbers, PolicyRoute, TeamSpec
from kroute.signals.model import Rows


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


class Problem(NamedTuple):
    """What is wrong with a policy. ``field``: its path, such as ``routes[0].when``."""

    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


def check(policy: Policy) -> tuple[InForce | None, list[str]]:
    """The policy ready for use, or what is wrong with it: one sentence with its field path per problem."""
    ready, problems = examine(policy)
    return ready, [str(p) for p in problems]


def examine(policy: Policy) -> tuple[InForce | None, list[Problem]]:
    """As ``check``, the field path apart from what is wrong there."""
    problems: list[Problem] = []
    numbers = _read(policy.defaults, Numbers, "defaults", problems)
    routes = [_read(r, PolicyRoute, f"routes[{i}]", problems) for i, r in enumerate(policy.routes)]
    automation = _read(policy.automation, AutomationPolicy, "automation", problems)
    for name, team in policy.teams.items():
        _read(team, TeamSpec, f"teams.{name}", problems)
    calendars: dict[str, Calendar] = {}
    for name, value in policy.calendars.items():
        try:
            calendars[name] = read_calendar(value)
        except CalendarError as e:
            problems.append(Problem(f"calendars.{name}", str(e)))
    seen: dict[str, None] = {}
    for i, route in enumerate(routes):
        if route is not None:
            _route(f"routes[{i}]", route, seen, policy, problems.append)
    if automation is not None:
        problems += [
            Problem(f"automation.freeze[{i}]", f"calendar {f.calendar!r} is not defined under calendars")
            for i, f in enumerate(automation.freeze)
            if f.calendar not in policy.calendars
        ]
    for realm, kinds in policy.realms.items():
        wrong = [k for k in kinds if k not in CONTROL_KINDS]
        problems += [Problem(f"realms.{realm}", f"{k!r} is none of {', '.join(CONTROL_KINDS)}") for k in wrong]
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


def _route(at: str, route: PolicyRoute, seen: dict[str, None], policy: Policy, say: Callable[[Problem], None]) -> None:
    """What is wrong with one route beside its types."""
    if not route.name or route.name in seen:
        say(Problem(f"{at}.name", f"{route.name!r} stands here twice or is empty; a route is known by its name"))
    seen[route.name] = None
    urgencies = route.urgencies()
    if not urgencies and route.repeat is None and route.escalate is None:
        say(Problem(at, "says nothing; give page, ticket or notify with roles, or repeat or escalate"))
    for r in urgencies:
        if r not in ROLES:
            say(Problem(at, f"{r!r} is no role; roles are {', '.join(ROLES)}"))
    words = (
        ("urgency", route.when.urgency, URGENCIES),
        ("severity", route.when.severity, SEVERITIES),
        ("objective", route.when.objectives(), OBJECTIVE_STATES),
    )
    for field, given, known in words:
        for word in given:
            if word not in known:
                say(Problem(f"{at}.when.{field}", f"{word!r} is none of {', '.join(known)}"))
    for c in (route.when.inside, route.when.outside):
        if c is not None and c not in policy.calendars:
            say(Problem(f"{at}.when", f"calendar {c!r} is not defined under calendars"))


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


def _read(value: Any, type_: type[Any], at: str, problems: list[Problem]) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as e:
        text, _, where = str(e).partition(" - at `$")
        problems.append(Problem(at + where.rstrip("`"), text.replace("Object ", "").replace("`", "'")))
        return None
