"""The report over a period: every figure by its name. Times are seconds unless they say otherwise."""

from __future__ import annotations

from msgspec import Struct


class Spread(Struct, frozen=True, kw_only=True):
    """Times of so many cases: their median and the 90th percentile; None where there is no case."""

    count: int
    median_s: float | None
    p90_s: float | None


class Told(Struct, frozen=True, kw_only=True):
    """What one team (or route, or row) was told. ``without_action``: pages of incidents nobody acknowledged or acted on.

    ``wrong``, ``judged``: verdicts ``wrong-owner``, and those plus ``right-owner``. ``useless``: ``not-actionable`` and
    ``false-alarm``.
    """

    name: str
    incidents: int
    pages: int
    tickets: int
    notes: int
    without_action: int
    wrong: int
    judged: int
    useless: int

    @property
    def wrong_rate(self) -> float | None:
        """Share of judged owners that were wrong."""
        return self.wrong / self.judged if self.judged else None


class Flood(Struct, frozen=True, kw_only=True):
    """A team's floods (ISA-18.2: over 10 alarms in 10 minutes). ``most``: alarms in its worst 10 minutes."""

    team: str
    minutes: float
    most: int
    began_at: tuple[str, ...]


class CauseRow(Struct, frozen=True, kw_only=True):
    """One cause. ``moved``: incidents whose cause moved after they were told; ``resolve``: from start to end."""

    cause: str
    incidents: int
    pages: int
    wrong: int
    judged: int
    useless: int
    moved: int
    reopened: int
    resolve: Spread

    @property
    def wrong_rate(self) -> float | None:
        """Share of judged owners that were wrong."""
        return self.wrong / self.judged if self.judged else None


class Finding(Struct, frozen=True, kw_only=True):
    """Something to change, with the evidence for it. ``about``: a route, a row's key, a cause and remedy."""

    about: str
    evidence: str
    incidents: tuple[str, ...] = ()


class Remedies(Struct, frozen=True, kw_only=True):
    """One remedy: how often it ran, and what its signals said came of it."""

    remedy: str
    runs: int
    outcomes: dict[str, int]


class Report(Struct, frozen=True, kw_only=True):
    """A period of alerts and what people did. ``since``, ``until``: RFC 3339.

    ``reassigned``: incidents whose action owner changed while they fired, and ``corrected``: verdicts that name another.
    ``hours``: pages by weekday (Monday first) and hour, UTC. ``days``: day → pages acted on, pages nobody acted on.
    """

    since: str
    until: str
    incidents: int
    records: int
    pages: int
    pages_without_action: int
    never_acknowledged: int
    suppressed: int
    reopened: int
    merged: int
    reassigned: int
    corrected: int
    acknowledge: Spread
    resolve: Spread
    times_to_acknowledge_s: tuple[float, ...]
    times_to_resolve_s: tuple[float, ...]
    teams: tuple[Told, ...]
    routes: tuple[Told, ...]
    rows: tuple[Told, ...]
    causes: tuple[CauseRow, ...]
    floods: tuple[Flood, ...]
    flood_minutes: float
    retire: tuple[Finding, ...]
    owners_missing: tuple[Finding, ...]
    drills_due: tuple[Finding, ...]
    remedies: tuple[Remedies, ...]
    hours: tuple[tuple[int, ...], ...]
    days: dict[str, tuple[int, int]]
    missing: tuple[str, ...] = ()
    """What could not be read."""
