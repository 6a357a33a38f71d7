"""Asks Kafka what this client may do, before work begins: what is missing is named at once, and all of it."""

from __future__ import annotations

from collections.abc import Iterable

from kroute.reach import Reach, lacks
from kroute.rights.model import Right, implied, protocol_name


def missing(reach: Reach, wanted: Iterable[Right]) -> list[Right]:
    """The rights that this client lacks, reduced to the operations it lacks; of topics and groups by literal name.

    Of a topic or group that does not exist Kafka does not tell: nothing is lacking there yet, ``Create`` is refused when it
    is tried.

    Raises:
        SourceUnreachable: no answer.
    """
    asked = [r for r in wanted if r.resource in ("topic", "group") and r.name != "*" and not r.prefixed]
    topics = reach.topics(r.name for r in asked if r.resource == "topic")
    groups = reach.groups(r.name for r in asked if r.resource == "group")
    out: list[Right] = []
    for r in asked:
        held = (topics if r.resource == "topic" else groups).get(r.name)
        if held is None:
            continue
        allowed = implied(held)
        lacking = tuple(o for o in r.operations if o != "Create" and protocol_name(o) not in allowed)
        if lacking:
            out.append(Right(r.resource, r.name, lacking, r.why))
    return out


def demand(reach: Reach, wanted: Iterable[Right], process: str) -> None:
    """Refuse to begin without these rights.

    Raises:
        NotAuthorized: names every right that is missing, and how to give them.
        SourceUnreachable: no answer.
    """
    lacking = missing(reach, wanted)
    if lacking:
        groups: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for r in lacking:
            groups.setdefault((r.operations, r.resource), []).append(r.name)
        told = [f"{' and '.join(ops)} on {kind} {', '.join(sorted(names))}" for (ops, kind), names in groups.items()]
        raise lacks(reach.kafka, "; ".join(told), process)
