"""What holds of every stream of alerts, whatever the case: the contract's "Rules that hold always".

1. Every alert is what its contract says.
2. An id is used once; a revision grows by one within its incident.
3. A delivery is opened once before it is updated or closed, at one destination, and one record acts on it once.
4. A record lists every delivery of its incident that is open.
5. When an incident ends, nothing of it stays open.
6. Nothing is resolved that did not fire.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kroute.contracts.alerts import Alert, RoutedAlert

_DECODER = msgspec.json.Decoder(RoutedAlert)
_OVER = ("resolved", "superseded")


def broken(alerts: list[Alert]) -> list[tuple[int, str]]:
    """Each breach of a rule: the alert's time (epoch ms) and a sentence."""
    out: list[tuple[int, str]] = []
    ids: set[str] = set()
    revisions: dict[str, int] = {}
    open_: dict[str, dict[str, str]] = {}
    for a in alerts:
        try:
            alert = _DECODER.decode(a.value)
        except msgspec.ValidationError as e:
            out.append((a.ts_ms, f"rule 1: {e}"))
            continue
        say = _Sayer(out, a.ts_ms, alert.id)
        if alert.id in ids:
            say(2, "an id stands twice")
        ids.add(alert.id)
        before = revisions.get(alert.incident)
        if before is None and alert.status == "resolved":
            say(6, "resolved without having fired")
        if before is not None and alert.revision != before + 1:
            say(2, f"revision {alert.revision} follows {before}")
        revisions[alert.incident] = alert.revision
        mine = open_.setdefault(alert.incident, {})
        _deliveries(alert, mine, say)
        if alert.status in _OVER and mine:
            say(5, f"{alert.status} and still open at {', '.join(sorted(mine.values()))}")
    return out


def _deliveries(alert: RoutedAlert, mine: dict[str, str], say: _Sayer) -> None:
    acted: set[str] = set()
    for r in alert.routes:
        if r.do == "none":
            continue
        if r.delivery in acted:
            say(3, f"acts twice on {r.destination}")
        acted.add(r.delivery)
        if r.do == "open":
            if r.delivery in mine:
                say(3, f"opens {r.destination} a second time")
            mine[r.delivery] = r.destination
        elif mine.get(r.delivery) != r.destination:
            say(3, f"{r.do} at {r.destination}, which is not open")
        if r.do == "close":
            mine.pop(r.delivery, None)
    for delivery in sorted(set(mine) - {r.delivery for r in alert.routes}):
        say(4, f"leaves out {mine[delivery]}, which is open")


class _Sayer:
    def __init__(self, out: list[tuple[int, str]], ms: int, ident: str) -> None:
        self._out, self._ms, self._id = out, ms, ident

    def __call__(self, rule: int, text: str) -> None:
        self._out.append((self._ms, f"rule {rule}: {self._id} {text}"))


def plain(alert: Alert) -> dict[str, Any]:
    """An alert's value as plain data."""
    out: dict[str, Any] = msgspec.json.decode(alert.value)
    return out
