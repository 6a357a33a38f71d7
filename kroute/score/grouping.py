"""How well symptoms were put together: pairwise F1 and B-cubed.

Items are the symptoms that the alerts of one recording name, ``(entity, kind, since)``; one that several incidents named
counts where it was named last, a merged incident as the one it went into. The truth's groups are the faults (``assign``,
rule 3); a symptom of no fault is a group of its own, so joining it to an incident is an error. Symptoms that no incident
names are not seen here: that is what ``detected`` is for. B-cubed: Bagga and Baldwin 1998.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from msgspec import Struct

from kroute.score.assign import Scope, fault_of_symptom
from kroute.score.told import Incident, Symptom


class Grouping(Struct):
    """Sums over items; those of several recordings add up. ``ambiguous``: items left out."""

    together_both: int = 0
    together_said: int = 0
    together_true: int = 0
    items: int = 0
    precision_sum: float = 0.0
    recall_sum: float = 0.0
    ambiguous: int = 0

    def add(self, other: Grouping) -> None:
        """Add another recording's sums."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def pair_f1(self) -> float | None:
        """2 · pairs rightly together ÷ (pairs said together + pairs truly together); None without any pair."""
        both = self.together_said + self.together_true
        return 2 * self.together_both / both if both else None

    @property
    def bcubed_f1(self) -> float | None:
        """Harmonic mean of B-cubed precision and recall over all items."""
        if not self.items:
            return None
        p, r = self.precision_sum / self.items, self.recall_sum / self.items
        return 2 * p * r / (p + r) if p + r else 0.0


def grouping(said: Sequence[Hashable], true: Sequence[Hashable]) -> Grouping:
    """Compare two groupings of the same items, given as a label per item."""
    cells = Counter(zip(said, true, strict=True))
    rows, columns = Counter(said), Counter(true)
    return Grouping(
        together_both=sum(_pairs(n) for n in cells.values()),
        together_said=sum(_pairs(n) for n in rows.values()),
        together_true=sum(_pairs(n) for n in columns.values()),
        items=len(said),
        precision_sum=sum(n * n / rows[a] for (a, _), n in cells.items()),
        recall_sum=sum(n * n / columns[b] for (_, b), n in cells.items()),
    )


def of_recording(incidents: Sequence[Incident], scopes: list[Scope]) -> Grouping:
    """The grouping of one recording's symptoms by its incidents."""
    into = {i.id: i.superseded_by for i in incidents}
    place: dict[Symptom, tuple[int, str]] = {}
    for i in incidents:
        for r in i.revisions:
            for s in r.symptoms:
                if s not in place or r.ts_ms >= place[s][0]:
                    place[s] = (r.ts_ms, i.id)
    said: list[Hashable] = []
    true: list[Hashable] = []
    ambiguous = 0
    for n, (s, (_, incident)) in enumerate(place.items()):
        fault = fault_of_symptom(s, scopes)
        if fault is None:
            ambiguous += 1
            continue
        said.append(survivor(incident, into))
        true.append(("none", n) if fault < 0 else fault)
    out = grouping(said, true)
    out.ambiguous = ambiguous
    return out


def survivor(incident: str, into: dict[str, str | None]) -> str:
    """The incident that one went into in the end."""
    seen = {incident}
    while (further := into.get(incident)) is not None and further not in seen:
        incident = further
        seen.add(incident)
    return incident


def _pairs(n: int) -> int:
    return n * (n - 1) // 2
