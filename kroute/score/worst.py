"""What went worst, a line each: expected against got."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kroute.score.measure import FalseIncident, FaultScore
from kroute.score.run import Scored


class Worst(Struct, frozen=True):
    """One thing that went wrong. ``loss``: how badly; the scale only orders."""

    recording: str
    loss: float
    what: str
    """``missed`` | ``merged`` | ``false page`` | ``false incident`` | ``action`` | ``cause`` | ``root`` | ``owner`` | ``split`` |
    ``late``."""
    why: str


def worst(scored: Sequence[Scored], most: int) -> tuple[Worst, ...]:
    """The ``most`` worst of all faults and false incidents, the worst first."""
    out: list[Worst] = []
    for s in scored:
        if s.measured is None:
            continue
        out += [w for w in map(of_fault, s.measured.faults) if w is not None]
        out += [of_false(s.recording, i) for i in s.measured.false]
    return tuple(sorted(out, key=lambda w: (-w.loss, w.recording, w.why))[:most])


def of_fault(f: FaultScore) -> Worst | None:
    """What is wrong with a fault's answers, the gravest first; None when nothing is."""
    expected = f"expected {f.cause} at {f.root}{_to(f.owners['action'])}"
    if f.settled is None:
        if f.swallowed:
            return Worst(f.recording, 9.0, "merged", f"{expected}; its symptoms went into another fault's incident")
        return Worst(f.recording, 10.0, "missed", f"{expected}; nothing was said")
    a = f.settled
    split = f.standing > 1
    wrong: list[tuple[float, str]] = []
    if a.action is False:
        wrong.append((5.0, "action"))
    if not a.cause_right:
        wrong.append((2.0 if a.cause_in_3 else 3.0, "cause"))
    elif not a.root_right:
        wrong.append((2.0, "root"))
    if f.first is not None and f.first.action is False and a.action is not False:
        wrong.append((1.0, "late"))
    if a.diagnosis is False or a.impact is False:
        wrong.append((0.8, "owner"))
    if split:
        wrong.append((0.5 * (f.standing - 1), "split"))
    if not wrong:
        return None
    got = f"got {a.cause} at {a.root}{_to(a.named.get('action', ()))} ({a.confidence:.2f})"
    also = []
    if a.cause_in_3 and not a.cause_right:
        also.append("the right one among its alternatives")
    if f.first is not None and f.first.action is False and a.action is not False:
        also.append(f"first said {f.first.cause}{_to(f.first.named.get('action', ()))}")
    also += [
        f"{role} is {', '.join(a.named.get(role, ())) or 'nobody'} for {', '.join(f.owners[role])}"
        for role, right in (("diagnosis", a.diagnosis), ("impact", a.impact))
        if right is False
    ]
    if split:
        also.append(f"{f.standing} incidents")
    return Worst(f.recording, sum(n for n, _ in wrong), wrong[0][1], "; ".join([expected, got, *also]))


def of_false(recording: str, i: FalseIncident) -> Worst:
    """A false incident: worse when it pages."""
    during = f" during {', '.join(i.during)}" if i.during else ""
    paged = f", {i.pages} page{'s' * (i.pages != 1)} to {', '.join(i.teams)}" if i.pages else ", no page"
    what = "false page" if i.pages else "false incident"
    why = f"expected nothing{during}; got {i.cause} at {i.root} ({i.confidence:.2f}){paged}"
    return Worst(recording, 6.0 + i.pages if i.pages else 1.5, what, why)


def _to(teams: Sequence[str]) -> str:
    return f" → {', '.join(teams)}" if teams else " → nobody"
