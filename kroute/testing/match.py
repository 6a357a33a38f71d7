"""Does an alert have the fields that a case asks for? Every difference as a sentence.

A list of words must all be there. Exactly these: ``impact`` (services), ``diagnosis``, ``action``, ``impact_teams``,
``destinations`` (told ones). At least these: ``symptoms`` (a kind, or ``kind@entity/name``), ``ruled_out``, ``missing``,
``alternatives``, ``considered`` (ruled out or an alternative). Any of a list: ``type``, ``cause``, ``root``, ``severity``.
``urgency``, ``reason``, ``via``: by role, of the loudest of the role's routes; ``none`` where nobody of the role is told.
``do`` by destination or team. ``objective``, ``lag_s`` (from, to) and ``bound`` by service. ``confidence``: at least.
``summary``, ``why``: part of the text. ``suppressed``: by what, or ``no``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kroute.testing.case import Wish, given

Plain = Mapping[str, Any]
_RANK = {"notify": 1, "ticket": 2, "page": 3}
_NONE = "none"


def differences(wish: Wish, alert: Plain) -> list[str]:
    """What the alert has otherwise than asked; empty when it fits."""
    out: list[str] = []
    for name, wanted in given(wish).items():
        said = _CHECKS[name](wanted, alert)
        if said is not None:
            out.append(f"{name}: wanted {_text(wanted)}, came {said}")
    return out


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(str(v) for v in value) or "nothing"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def entity(ref: Plain | None) -> str:
    """``kind/name``."""
    return f"{ref['kind']}/{ref['name']}" if ref else "nothing"


def _one_of(get: Callable[[Plain], Any]) -> Callable[[Any, Plain], str | None]:
    def check(wanted: Any, alert: Plain) -> str | None:
        have = get(alert)
        return None if have in _many(wanted) else str(have)

    return check


def _equal(get: Callable[[Plain], Any]) -> Callable[[Any, Plain], str | None]:
    def check(wanted: Any, alert: Plain) -> str | None:
        have = get(alert)
        return None if have == wanted else _text(have)

    return check


def _exactly(get: Callable[[Plain], list[str]]) -> Callable[[Any, Plain], str | None]:
    def check(wanted: Any, alert: Plain) -> str | None:
        have = sorted(set(get(alert)))
        return None if have == sorted(set(_many(wanted))) else _text(have)

    return check


def _at_least(get: Callable[[Plain], list[str]]) -> Callable[[Any, Plain], str | None]:
    def check(wanted: Any, alert: Plain) -> str | None:
        have = get(alert)
        return None if all(w in have for w in _many(wanted)) else _text(sorted(set(have)))

    return check


def _contains(get: Callable[[Plain], Any]) -> Callable[[Any, Plain], str | None]:
    def check(wanted: Any, alert: Plain) -> str | None:
        have = get(alert) or ""
        return None if wanted in have else repr(have)

    return check


def told(alert: Plain) -> list[Plain]:
    """Routes that are not being closed; one that shares its delivery, or is silenced, has ``do: none``."""
    return [r for r in alert["routes"] if r["do"] != "close"]


def _teams(role: str) -> Callable[[Plain], list[str]]:
    """Teams of a role; one that is only told of its close no longer has it, unless all is over."""

    def teams(alert: Plain) -> list[str]:
        routes = told(alert) if alert["status"] == "firing" else alert["routes"]
        return [r["team"] for r in routes if r["role"] == role]

    return teams


def _by_role(field: str) -> Callable[[Any, Plain], str | None]:
    def check(wanted: Any, alert: Plain) -> str | None:
        have: dict[str, str] = {}
        for role in wanted:
            routes = [r for r in told(alert) if r["role"] == role]
            best = max(routes, key=lambda r: _RANK.get(r["urgency"], 0), default=None)
            have[role] = best[field] if best and alert["suppressed"] is None else _NONE
        return None if have == dict(wanted) else _text(have)

    return check


def _do(wanted: Any, alert: Plain) -> str | None:
    have = {w: next((r["do"] for r in alert["routes"] if w in (r["team"], r["destination"])), _NONE) for w in wanted}
    return None if have == dict(wanted) else _text(have)


def _by_service(field: str) -> Callable[[Any, Plain], str | None]:
    def check(wanted: Any, alert: Plain) -> str | None:
        have = {w: next((i[field] for i in alert["impact"] if w in (i["service"], i["group"])), None) for w in wanted}
        for name, want in wanted.items():
            v = have[name]
            fits = v is not None and want[0] <= v <= want[1] if isinstance(want, (tuple, list)) else v == want
            if not fits:
                return _text(have)
        return None

    return check


def _suppressed(wanted: Any, alert: Plain) -> str | None:
    have = alert["suppressed"]["by"] if alert["suppressed"] else "no"
    want = {False: "no"}.get(wanted, wanted)
    return None if have == want or (want is True and have != "no") else have


def _symptoms(alert: Plain) -> list[str]:
    return [t for s in alert["symptoms"] for t in (s["kind"], f"{s['kind']}@{entity(s['entity'])}")]


_CHECKS: dict[str, Callable[[Any, Plain], str | None]] = {
    "type": _one_of(lambda a: a["type"]),
    "status": _equal(lambda a: a["status"]),
    "cause": _one_of(lambda a: a["cause"]["id"]),
    "root": _one_of(lambda a: entity(a["cause"]["root"])),
    "impact": _exactly(lambda a: [i["service"] for i in a["impact"] if i["service"]]),
    "diagnosis": _exactly(_teams("diagnosis")),
    "action": _exactly(_teams("action")),
    "impact_teams": _exactly(_teams("impact")),
    "urgency": _by_role("urgency"),
    "reason": _by_role("reason"),
    "via": _by_role("via"),
    "do": _do,
    "destinations": _exactly(lambda a: [r["destination"] for r in told(a) if r["do"] != "none"]),
    "objective": _by_service("state"),
    "lag_s": _by_service("lag_s"),
    "bound": _by_service("lag_s_bound"),
    "verdict": _equal(lambda a: a["automation"]["verdict"]),
    "remedy": _equal(lambda a: a["automation"]["remedy"]),
    "severity": _one_of(lambda a: a["severity"]),
    "symptoms": _at_least(_symptoms),
    "ruled_out": _at_least(lambda a: [r["id"] for r in a["ruled_out"]]),
    "missing": _at_least(lambda a: list(a["cause"]["missing"])),
    "considered": _at_least(lambda a: [r["id"] for r in (*a["ruled_out"], *a["cause"]["alternatives"])]),
    "alternatives": _at_least(lambda a: [r["id"] for r in a["cause"]["alternatives"]]),
    "suppressed": _suppressed,
    "late": _equal(lambda a: a["late"]),
    "flaps": _equal(lambda a: a["flaps"]),
    "supersedes": _equal(lambda a: len(a["supersedes"])),
    "superseded": _equal(lambda a: a["superseded_by"] is not None),
    "recovering": _equal(lambda a: a["recovering"]),
    "confidence": lambda w, a: None if a["cause"]["confidence"] >= w else f"{a['cause']['confidence']:.2f}",
    "summary": _contains(lambda a: a["summary"]),
    "why": _contains(lambda a: a["why"]),
    "policy": _equal(lambda a: a["policy_version"]),
}
