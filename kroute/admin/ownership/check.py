"""What is wrong with a set of ownership rows beside its single rows: names that lead nowhere, secrets, words of no effect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

from kroute.admin.ownership.folder import Stated
from kroute.contracts.alerts import URGENCIES
from kroute.contracts.rows import Ownership
from kroute.errors import BadFile
from kroute.routing.ownership import OwnershipIndex
from kroute.signals.model import Rows

ISOLATIONS = ("read_committed", "read_uncommitted")
_SECRET = re.compile(r"hooks\.slack\.com/services/|/webhook/|(?:token|key|secret|password|passwd|apikey)=", re.IGNORECASE)
_TEAM_FIELDS = ("owner", "governance", "network")


def index(rows: Iterable[Stated]) -> OwnershipIndex:
    """The rows as the engine holds them."""
    out = OwnershipIndex(Rows())
    for s in rows:
        out.put(s.key, b"", s.row)
    return out


def check(rows: list[Stated], *, partial: bool = False) -> list[BadFile]:
    """All problems, by file and line. ``partial``: teams, services and systems may stand elsewhere."""
    found: list[BadFile] = []
    rules = _ALWAYS if partial else (*_ALWAYS, *_WHOLE)
    known = index(rows)
    for s in rows:
        for rule in rules:
            found += rule(s, known)
    return sorted(found, key=lambda p: (p.file, p.line or 0))


def destination_problem(text: str) -> str | None:
    """What is wrong with a destination, or None."""
    try:
        url = urlsplit(text)
    except ValueError as e:
        return str(e)
    if not url.scheme or not (url.netloc or url.path.strip("/")):
        return f"{text!r} is no destination; write scheme://name, such as pagerduty://payments"
    if url.password or _SECRET.search(text):
        return "a secret stands in it; name a credential, the notifier holds it"
    return None


def _destinations(s: Stated, _: OwnershipIndex) -> Iterator[BadFile]:
    """Rule 1: a destination is ``scheme://name`` and holds no secret."""
    for field in URGENCIES:
        text = getattr(s.row, field)
        problem = destination_problem(text) if text is not None else None
        if problem is not None:
            yield s.bad(field, problem)
        if text is not None and s.row.kind != "team":
            yield s.bad(field, f"destinations belong to a team's row; this is a {s.row.kind}")


def _secrets(s: Stated, _: OwnershipIndex) -> Iterator[BadFile]:
    """Rule 2: links hold no secret either."""
    for field in ("runbook", "escalation", "rollback"):
        text = getattr(s.row, field)
        if text is not None and (_SECRET.search(text) or re.search(r"://[^/@\s]+:[^/@\s]+@", text)):
            yield s.bad(field, "a secret stands in it; rows are read by all")


def _words(s: Stated, known: OwnershipIndex) -> Iterator[BadFile]:
    """Rule 3: words with a closed list of meanings."""
    r = s.row
    if r.isolation is not None and r.isolation not in ISOLATIONS:
        yield s.bad("isolation", f"{r.isolation!r} is none of {', '.join(ISOLATIONS)}")
    if r.schedule is not None:
        probe = OwnershipIndex(Rows())
        probe.put("group/c/g", b"", Ownership(kind="group", cluster="c", name="g", schedule=r.schedule))
        if probe.schedule_period_s("c", "g") is None:
            yield s.bad("schedule", f"{r.schedule!r} is no period; write 1h, or {{period_s: 3600}}")
    if r.kind == "link" and (r.source_cluster is None or r.target_cluster is None):
        yield s.bad(None, "a link has source_cluster and target_cluster")


def _team(s: Stated, known: OwnershipIndex) -> Iterator[BadFile]:
    """Rule 4: whoever owns has a row with destinations."""
    for field in _TEAM_FIELDS:
        name = getattr(s.row, field)
        if name is not None and known.resolve("team", "*" if "*" in s.row.cluster else s.row.cluster, name) is None:
            yield s.bad(field, f"no team {name!r}; it has no row team/*/{name}, so nobody would be reached")


def _leads(field: str, kind: str, on: tuple[str, ...]) -> Callable[[Stated, OwnershipIndex], Iterator[BadFile]]:
    def rule(s: Stated, known: OwnershipIndex) -> Iterator[BadFile]:
        name = getattr(s.row, field)
        if name is None or s.row.kind not in on or s.row.cluster.endswith("*"):
            return
        if known.resolve(kind, s.row.cluster, name) is None:
            yield s.bad(field, f"no {kind} {name!r} in {s.row.cluster}; it has no row {kind}/{s.row.cluster}/{name}")

    return rule


_ALWAYS = (_destinations, _secrets, _words)
_WHOLE = (
    _team,
    _leads("service", "service", ("group", "connector", "topic")),  # rule 5
    _leads("system", "system", ("connector",)),  # rule 6
)
