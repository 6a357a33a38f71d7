"""An incident as Markdown, for the review after it: what happened, who was told and why, what people did, what to ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kroute.contracts.alerts import SEVERITIES
from kroute.local.alerts_view import safe
from kroute.report import words
from kroute.report.source import Given
from kroute.report.timeline import Alert, between, deliveries, entity, mapping, named, percent, rows, span, timeline, worst_impact
from kroute.routing.times import rfc3339

_SPECIAL = "\\`*_{}[]<>|#"


def markdown(revisions: Sequence[Alert], controls: Iterable[Given] = ()) -> str:
    """The whole document. ``controls``: acknowledgements, verdicts and reports on this incident, as people gave them."""
    last = revisions[-1]
    cause = mapping(last.get("cause"))
    lasted = span(between(last.get("started_at"), last.get("resolved_at") or last.get("updated_at")))
    parts = [
        f"# {_t(last.get('incident'))}: {_t(last.get('summary'))}",
        _table(("", ""), [
            ("cluster", _t(last.get("cluster"))),
            ("status", f"{_t(last.get('status'))}; at worst {_worst(revisions)}"),
            ("lasted", f"{lasted}, from {_t(last.get('started_at'))} to {_t(last.get('resolved_at') or 'now')}"),
            ("cause", f"{_t(named(last))}, {percent(cause.get('confidence'))}"),
            ("policy", _t(last.get("policy_version"))),
        ]),
        "## Who felt it",
        _list(_impact(i) for i in worst_impact(revisions)) or "Nobody that is known.",
        "## Timeline",
        _table(("time (UTC)", "what", "what was new"), [(_t(m.at), _t(m.what), _t(m.text)) for m in timeline(revisions)]),
        "## Who was told",
        _table(
            ("team", "role", "how", "where", "opened", "closed", "why, and by which row"),
            [
                (
                    _t(d.team), _t(d.role), _t(d.urgency), _t(d.destination), _t(d.opened_at), _t(d.closed_at or "open"),
                    f"{_t(words.reason(d.reason))} ({_t(words.via(d.via))})",
                )
                for d in deliveries(revisions)
            ],
        ),
        "## Why this cause",
        _list(f"{_t(entity(s.get('entity')))}: {_t(s.get('why') or s.get('kind'))}, since {_t(s.get('since'))}"
              for s in rows(last, "symptoms")) or "Nothing is recorded.",
        "## What it was not",
        _list(f"{_t(r.get('id'))}: {_t(r.get('because'))}" for r in rows(last, "ruled_out")) or "Nothing was ruled out.",
        "## Automation and remedies",
        _automation(revisions),
        "## What people did",
        _list(_given(g) for g in sorted(controls, key=lambda g: g.control.at_ms)) or "Nobody acknowledged, acted or judged.",
        "## Changes near it",
        _list(f"{_t(c.get('kind'))} {_t(c.get('id'))} by {_t(c.get('by'))}, from {_t(c.get('starts_at'))}: {_t(c.get('why'))}"
              for c in rows(last, "changes")) or "None was declared.",
        "## For the review",
        _list((
            "Was the first team told the right one? If not, which row or rule is to change?",
            "Could the service owner have known before the objective was breached?",
            "Is the remedy written down with its undo, and when was it last drilled?",
            "Which signal was missing?" + _missing(cause.get("missing")),
        )),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _worst(revisions: Sequence[Alert]) -> str:
    said = [str(a.get("severity")) for a in revisions]
    return next((s for s in SEVERITIES if s in said), "of no known severity")


def _impact(i: Alert) -> str:
    who = i.get("service") or i.get("group") or i.get("topic")
    said = f"{_t(who)}: {_t(i.get('state'))}"
    if i.get("lag_s") is not None:
        said += f", {span(i['lag_s'])} behind"
    if i.get("objective_s") is not None:
        said += f" (objective {span(i['objective_s'])})"
    return said + (f"; {_t(i['customer_function'])}" if i.get("customer_function") else "")


def _automation(revisions: Sequence[Alert]) -> str:
    firing = [a for a in revisions if a.get("status") == "firing"] or list(revisions)
    a = mapping(firing[-1].get("automation"))
    missing = [_t(m) for m in a.get("missing") or ()]
    lines = [f"verdict {_t(a.get('verdict'))}" + (f" for {_t(a.get('remedy'))}" if a.get("remedy") else "")]
    lines += [f"missing: {m}" for m in missing]
    for r in rows(revisions[-1], "remedies"):
        became = f"{_t(r.get('outcome'))}, {_t(r.get('why'))}"
        lines.append(f"{_t(r.get('remedy'))} by {_t(r.get('by'))} at {_t(r.get('started_at'))}: {became}")
    return _list(lines)


def _given(g: Given) -> str:
    c = g.control
    what = {"ack": "acknowledged", "action": f"{c.remedy} {c.state}", "verdict": f"says {c.verdict}"}.get(c.kind, c.kind)
    better = f", should be {c.should_be}" if c.should_be else ""
    realm = f" (realm {g.realm})" if g.realm else ""
    return f"{rfc3339(c.at_ms)} {_t(c.by)}{_t(realm)} {_t(what + better)}" + (f": {_t(c.why)}" if c.why else "")


def _missing(value: object) -> str:
    return " Not seen: " + ", ".join(_t(m) for m in value) + "." if isinstance(value, list) and value else ""


def _t(value: object) -> str:
    """Text without markup: names in an alert come from strangers."""
    return "".join("\\" + c if c in _SPECIAL else c for c in safe(value, 2000))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {x}" for x in lines)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    out = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*out, *(f"| {' | '.join(r)} |" for r in body)])
