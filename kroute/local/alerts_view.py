"""A routed alert as a person reads it in a terminal: what, who, because of what, and what may be done.

Names in an alert come from strangers (topic names, error texts): everything is shown as plain text, without markup and
without control characters, so that no name can move the cursor or restyle the screen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_MOST = 6
_WIDTH = 300
_SEVERITY = {"critical": "bold red", "major": "red", "minor": "yellow", "info": "cyan"}
_STATUS = {"firing": "bold red", "resolved": "bold green", "superseded": "dim"}
_VERDICT = {"auto": "yes:", "propose": "no: propose", "human": "no: a person decides"}
_URGENCY = {"page": "bold red", "ticket": "yellow", "notify": "cyan"}


def safe(value: object, limit: int = _WIDTH) -> str:
    """Text without control, format or surrogate characters, on one line and at most ``limit`` characters long."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    text = text[: limit * 4]
    kept = "".join(" " if c in "\t\n\r" else c for c in text if c in "\t\n\r" or unicodedata.category(c) not in _HIDDEN)
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def render(alert: Mapping[str, Any], most: int = _MOST) -> RenderableType:
    """One revision of an incident (a decoded ``routed-alerts`` record); fields that are missing are left out.

    ``most``: of a list, so many are shown.
    """
    if alert.get("type") == "heartbeat":
        return Text(f"heartbeat of {safe(alert.get('cluster'))} {_clock(alert.get('updated_at'))}", style="dim")
    parts: list[RenderableType] = [_head(alert), Text(safe(alert.get("summary")), style="bold"), Text("")]
    routes = _dicts(alert.get("routes"))
    if routes:
        parts += [_routes(routes), Text("")]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, line in _facts(alert, most):
        facts.add_row(label, line)
    parts.append(facts)
    return Group(*parts)


def one_line(alert: Mapping[str, Any]) -> Text:
    """The same in one line: time, what happened, which incident, its cause and summary."""
    cause = _dict(alert.get("cause"))
    line = Text(_clock(alert.get("updated_at")) + " ", style="dim")
    line.append(f"{safe(alert.get('type')):<9} ", style=_STATUS.get(safe(alert.get("status")), ""))
    line.append(f"{safe(alert.get('incident'))}  {safe(cause.get('id'))} {_percent(cause.get('confidence'))}  ")
    return line.append(safe(alert.get("summary")))


def _head(alert: Mapping[str, Any]) -> RenderableType:
    left = Text(safe(alert.get("incident")), style="bold")
    status, severity = safe(alert.get("status")), safe(alert.get("severity"))
    left.append("  ").append(status, style=_STATUS.get(status, ""))
    since = _age(alert.get("started_at"), alert.get("updated_at"))
    if since:
        left.append(f" {since}")
    left.append("  ").append(severity, style=_SEVERITY.get(severity, ""))
    left.append(f"  {safe(alert.get('type'))}", style="dim")
    right = Text(f"{safe(alert.get('cluster'))} · policy {safe(alert.get('policy_version'), 12)}", style="dim")
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_row(left, right)
    return grid


def _routes(routes: list[Mapping[str, Any]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for title in ("who", "team", "how", "why", ""):
        table.add_column(title, overflow="fold")
    table.add_row(*(Text(t, style="dim") for t in ("who", "team", "how", "why", "")))
    said = {safe(r.get("delivery")) for r in routes if r.get("delivery") and safe(r.get("do")) in ("open", "update")}
    for r in routes:
        urgency, do = safe(r.get("urgency")), safe(r.get("do"))
        how = Text(urgency, style=_URGENCY.get(urgency, ""))
        if do in ("close", "none"):
            same = do == "none" and safe(r.get("delivery")) in said
            how = Text(f"{urgency} ({'the same' if same else do})", style="dim")
        table.add_row(
            Text(safe(r.get("role"))), Text(safe(r.get("team")), style="bold"), how,
            Text(safe(r.get("reason")).replace("-", " ")), Text(safe(r.get("via")), style="dim"),
        )  # fmt: skip
    return table


def _facts(alert: Mapping[str, Any], most: int) -> Iterable[tuple[str, Text]]:
    cause = _dict(alert.get("cause"))
    if cause:
        yield "cause", Text(f"{safe(cause.get('id'))} at {_entity(cause.get('root'))}, {_percent(cause.get('confidence'))}")
    for words in list(dict.fromkeys(map(_impact, _dicts(alert.get("impact")))))[:most]:  # a service may read several topics
        yield "feels it", Text(words)
    symptoms = [s for s in _dicts(alert.get("symptoms")) if s.get("active", True)]
    if symptoms:
        yield "because", Text(" · ".join(_symptom(s) for s in symptoms[:most]) + _more(len(symptoms), most))
    ruled_out = _dicts(alert.get("ruled_out"))
    for n, r in enumerate(ruled_out[:most]):
        yield "not" if n == 0 else "", Text(f"{safe(r.get('id'))}: {safe(r.get('because'))}")
    for a in _dicts(cause.get("alternatives"))[:3]:
        yield "or else", Text(f"{safe(a.get('id'))} at {_entity(a.get('root'))}, {_percent(a.get('confidence'))}")
    automation = _dict(alert.get("automation"))
    if automation:
        yield "automate?", _automation(automation)
    for n, r in enumerate(_dicts(alert.get("remedies"))):
        yield "remedies" if n == 0 else "", Text(_remedy(r))
    suppressed = _dict(alert.get("suppressed"))
    if suppressed:
        why = ", ".join(filter(None, (safe(suppressed.get(k)) for k in ("id", "who", "why", "until"))))
        yield "quiet", Text(f"{safe(suppressed.get('by'))}: {why}")
    if alert.get("why"):
        yield "now", Text(safe(alert["why"]))


def _impact(i: Mapping[str, Any]) -> str:
    who = safe(i.get("service")) or safe(i.get("group")) or safe(i.get("topic"))
    words = [f"{who}: {safe(i.get('state'))}"]
    if i.get("lag_s") is not None:
        bound = {"at-least": "at least ", "estimate": "about "}.get(safe(i.get("lag_s_bound")), "")
        words.append(f"{bound}{_seconds(i['lag_s'])} behind")
    elif i.get("data_age_s") is not None:
        words.append(f"last record {_seconds(i['data_age_s'])} ago")
    if i.get("objective_s") is not None:
        words.append(f"objective {_seconds(i['objective_s'])}")
    if i.get("customer_function"):
        words.append(f"“{safe(i['customer_function'])}”")
    return ", ".join(words)


def _symptom(s: Mapping[str, Any]) -> str:
    what = safe(s.get("why")) or safe(s.get("kind")).replace("-", " ")
    return f"{_entity(s.get('entity'))}: {what} since {_clock(s.get('since'))}"


def _remedy(r: Mapping[str, Any]) -> str:
    undo = f"; roll back ({safe(r.get('rollback'))}): {safe(r.get('rollback_owner'))}" if r.get("roll_back") else ""
    return f"{safe(r.get('remedy'))} by {safe(r.get('by'))}: {safe(r.get('outcome'))}, {safe(r.get('why'))}{undo}"


def _automation(a: Mapping[str, Any]) -> Text:
    verdict = safe(a.get("verdict"))
    line = Text(f"{_VERDICT.get(verdict, verdict)} {safe(a.get('remedy'))}".rstrip())
    for n, (name, proved) in enumerate(sorted(_dict(a.get("proved")).items())):
        line.append(" " if n else " · ").append(safe(name))
        line.append(" ✓" if proved else " ✗", style="green" if proved else "red")
    missing = a.get("missing")
    if isinstance(missing, (list, tuple)) and missing:
        line.append(f" ({'; '.join(safe(m) for m in missing[:3])})", style="dim")
    return line


def _entity(value: object) -> str:
    entity = _dict(value)
    return f"{safe(entity.get('kind'))} {safe(entity.get('name'))}".strip()


def _more(total: int, most: int) -> str:
    return f" · and {total - most} more" if total > most else ""


def _percent(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, (int, float)) else ""


def _seconds(value: object) -> str:
    if not isinstance(value, (int, float)):
        return safe(value)
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def _clock(value: object) -> str:
    moment = _moment(value)
    return moment.strftime("%H:%M:%S") if moment else safe(value)


def _age(start: object, end: object) -> str:
    a, b = _moment(start), _moment(end)
    return _seconds((b - a).total_seconds()) if a and b else ""


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, (list, tuple)) else []
