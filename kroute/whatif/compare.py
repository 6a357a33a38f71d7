"""The same recording under two policies: which incidents change team, urgency, verdict, or merge and split otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from kroute.report.timeline import Alert, mapping, moment_of, rows
from kroute.routing.times import rfc3339
from kroute.routing.urgency import RANK

WHAT = ("appears", "vanishes", "team", "urgency", "destination", "verdict", "suppressed", "severity", "merge", "split", "time")
"""What may differ between the two runs of one incident."""
QUIET = ("destination", "time")
"""What is listed and does not fail a gate unless it is asked to."""
LATER_S = 30.0
"""A first page that moves by less is no difference."""
_VERDICT_RANK = {"human": 0, "propose": 1, "auto": 2}


class Change(Struct, frozen=True, kw_only=True):
    """One difference in one incident. ``was`` and ``now`` under the old and the new policy, in words."""

    incident: str
    about: str
    what: str
    was: str
    now: str
    why: str = ""


class Comparison(Struct, frozen=True, kw_only=True):
    """All differences, and how loud the two policies are over the whole recording."""

    incidents: int
    changed: int
    changes: tuple[Change, ...]
    pages_was: int
    pages_now: int
    pages_by_team: dict[str, tuple[int, int]]


class _Seen(Struct, kw_only=True):
    """What one incident came to under one policy."""

    about: str
    teams: dict[str, tuple[str, ...]]
    urgency: dict[tuple[str, str], str]
    reasons: dict[tuple[str, str], str]
    destinations: dict[tuple[str, str], tuple[str, ...]]
    verdict: str
    missing: str
    suppressed: str
    severity: str
    merged_into: str
    supersedes: tuple[str, ...]
    split_from: str
    told_s: float
    first_page_s: float | None
    pages: dict[str, int]


def compare(old: Mapping[str, Sequence[Alert]], new: Mapping[str, Sequence[Alert]]) -> Comparison:
    """Differences by incident and kind. An incident has the same id under both policies: it hangs on the facts alone."""
    was = {i: _seen(r) for i, r in old.items()}
    now = {i: _seen(r) for i, r in new.items()}
    changes = [c for i in sorted({*was, *now}) for c in _changes(i, was.get(i), now.get(i))]
    teams = sorted({t for side in (was, now) for s in side.values() for t in s.pages})
    by_team = {t: (sum(s.pages.get(t, 0) for s in was.values()), sum(s.pages.get(t, 0) for s in now.values())) for t in teams}
    return Comparison(
        incidents=len({*was, *now}),
        changed=len({c.incident for c in changes}),
        changes=tuple(changes),
        pages_was=sum(a for a, _ in by_team.values()),
        pages_now=sum(b for _, b in by_team.values()),
        pages_by_team=by_team,
    )


def _seen(revisions: Sequence[Alert]) -> _Seen:
    first, last = revisions[0], revisions[-1]
    teams: dict[str, dict[str, None]] = {}
    urgency: dict[tuple[str, str], str] = {}
    reasons: dict[tuple[str, str], str] = {}
    destinations: dict[tuple[str, str], dict[str, None]] = {}
    pages: dict[str, int] = {}
    first_page: float | None = None
    verdict, missing, severities = "human", "", ["info"]
    suppressed: Mapping[str, Any] = {}
    for a in revisions:
        firing = a.get("status") == "firing"
        for r in rows(a, "routes"):
            key = (str(r.get("role")), str(r.get("team")))
            if not firing or r.get("do") == "close":
                continue
            teams.setdefault(key[0], {})[key[1]] = None
            how = str(r.get("urgency"))
            if key not in urgency or RANK.get(how, 0) >= RANK.get(urgency[key], 0):
                urgency[key], reasons[key] = how, str(r.get("reason"))
            destinations.setdefault(key, {})[str(r.get("destination"))] = None
            if how == "page" and r.get("do") == "open":
                pages[key[1]] = pages.get(key[1], 0) + 1
                first_page = _at(a) if first_page is None else first_page
        suppressed = mapping(a.get("suppressed")) or suppressed
        automation = mapping(a.get("automation"))
        if firing and _VERDICT_RANK.get(str(automation.get("verdict")), 0) >= _VERDICT_RANK[verdict]:
            verdict, missing = str(automation.get("verdict")), "; ".join(str(m) for m in automation.get("missing") or ())
        severities.append(str(a.get("severity")))
    order = ("critical", "major", "minor", "info")
    return _Seen(
        about=str(last.get("summary")),
        teams={role: tuple(sorted(t)) for role, t in sorted(teams.items())},
        urgency=urgency,
        reasons=reasons,
        destinations={k: tuple(sorted(d)) for k, d in destinations.items()},
        verdict=verdict,
        missing=missing,
        suppressed=f"{suppressed.get('by')} {suppressed.get('id')}" if suppressed else "no",
        severity=next((s for s in order if s in severities), "info"),
        merged_into=str(last.get("superseded_by") or ""),
        supersedes=tuple(last.get("supersedes") or ()),
        split_from=str(last.get("split_from") or ""),
        told_s=_at(first),
        first_page_s=first_page,
        pages=pages,
    )


def _changes(incident: str, was: _Seen | None, now: _Seen | None) -> list[Change]:
    if was is None or now is None:
        there = now or was
        assert there is not None
        what, words = ("appears", ("not told", "told")) if was is None else ("vanishes", ("told", "not told"))
        return [Change(incident=incident, about=there.about, what=what, was=words[0], now=words[1])]
    found: list[tuple[str, str, str, str]] = []
    for role in sorted({*was.teams, *now.teams}):
        a, b = was.teams.get(role, ()), now.teams.get(role, ())
        if a != b:
            found.append(("team", f"{role}: {_list(a)}", f"{role}: {_list(b)}", ""))
    for key in sorted({*was.urgency, *now.urgency}):
        x, y = was.urgency.get(key, "not told"), now.urgency.get(key, "not told")
        if x != y:
            why = now.reasons.get(key, "")
            found.append(("urgency", f"{key[0]} {key[1]}: {x}", f"{key[0]} {key[1]}: {y}", why))
        elif was.destinations[key] != now.destinations[key]:
            found.append(("destination", _list(was.destinations[key]), _list(now.destinations[key]), f"{key[0]} {key[1]}"))
    if was.verdict != now.verdict:
        found.append(("verdict", was.verdict, now.verdict, now.missing))
    for what, x, y in (("suppressed", was.suppressed, now.suppressed), ("severity", was.severity, now.severity)):
        found += [(what, x, y, "")] if x != y else []
    if (was.merged_into, was.supersedes) != (now.merged_into, now.supersedes):
        found.append(("merge", _merged(was), _merged(now), ""))
    if was.split_from != now.split_from:
        found.append(("split", was.split_from or "of its own", now.split_from or "of its own", ""))
    found += _later("first told", was.told_s, now.told_s)
    found += _later("first page", was.first_page_s, now.first_page_s)
    return [Change(incident=incident, about=now.about, what=w, was=a, now=b, why=y) for w, a, b, y in found]


def _merged(s: _Seen) -> str:
    if s.merged_into:
        return f"merged into {s.merged_into}"
    return f"has taken {_list(s.supersedes)}" if s.supersedes else "of its own"


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or "nobody"


def _later(what: str, was: float | None, now: float | None) -> list[tuple[str, str, str, str]]:
    if was is None or now is None or abs(now - was) < LATER_S:
        return []
    later = f"{abs(now - was):.0f} s {'later' if now > was else 'earlier'}"
    return [("time", f"{what} at {_clock(was)}", f"{what} at {_clock(now)}, {later}", "")]


def _clock(at_s: float) -> str:
    return rfc3339(int(at_s * 1000))[11:19]


def _at(a: Alert) -> float:
    at = moment_of(a.get("updated_at"))
    return at.timestamp() if at is not None else 0.0
