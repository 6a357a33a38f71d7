"""Which causes at which roots are weighed, which are out of the question, and the observation that says so.

A cause with required symptoms is sought from those symptoms alone, so the many that merely could have explained
something cost nothing until a hypothesis asks why it was not them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate, Key, active, weigh
from kroute.diagnosis.evidence import Evidence, Shown
from kroute.diagnosis.load import Catalogue, Compiled, Leads, Term
from kroute.diagnosis.paths import Walker
from kroute.signals.estate import Estate
from kroute.signals.model import Status
from kroute.signals.table import BY_KIND

MOST_REASONS = 3
MOST_ASKED = 64
"""Units of a hypothesis, in order, for which rejected rivals are sought; what explains the rest explains these too."""


class Suspects:
    """Candidates of one diagnosis. ``weighed``: those that can be considered, by key in order."""

    def __init__(self, catalogue: Catalogue, estate: Estate, evidence: Evidence, walker: Walker) -> None:
        self._catalogue = catalogue
        self._estate = estate
        self._evidence = evidence
        self._walker = walker
        self._out: dict[Key, tuple[str | None, tuple[str, ...]]] = {}
        self.weighed: dict[Key, Candidate] = {}
        found = {(c.cause.id, root): c for c, _, root, _ in self._led(evidence.shown.items(), catalogue.seeds)}
        for key in sorted(found):
            candidate = weigh(found[key], key[1], evidence, walker)
            if candidate is None or not candidate.cover:
                continue
            if candidate.invalid is None:
                self.weighed[key] = candidate
            else:
                self._out[key] = (candidate.invalid, ())

    def _led(
        self, shown: Iterable[tuple[Entity, Shown]], index: Mapping[str, tuple[Leads, ...]]
    ) -> Iterable[tuple[Compiled, Term, Entity, str]]:
        """(cause, term, root, kind) for every cause that a symptom leads to and that exists on its platform."""
        for e, there in shown:
            for kind in there.symptoms:
                for leads in index.get(kind, ()):
                    for root in self._roots(e, leads):
                        platform = self._estate.platform(root.cluster)
                        for c, term in leads.causes:
                            if platform in c.cause.platforms:  # D9
                                yield c, term, root, kind

    def _roots(self, e: Entity, leads: Leads) -> list[Entity]:
        if not leads.steps:
            return [e] if e.kind == leads.root else []
        roots = self._walker.back(e, leads.steps, leads.root)
        return [r for r in roots if r != e] if e in roots else roots

    # -- what cannot be told ---------------------------------------------------------------------------------

    def untold(self, named: Mapping[int, None]) -> list[tuple[tuple[str, ...], list[int]]]:
        """Causes that cannot be told for want of signals: what is missing, and the units outside ``named`` they would cover.

        They say which symptoms may belong together where no named cause explains them.
        """
        left: dict[Entity, Shown] = {}
        kinds: dict[str, None] = {}
        for e, there in self._evidence.shown.items():
            if any(u not in named for u in there.units.values()):
                left[e] = there
                kinds.update((k, None) for k in there.symptoms)
        if not left:
            return []
        keys = {(c.cause.id, root): c for c, _, root, _ in self._led(left.items(), self._catalogue.suspects)}
        keys.update({(c.cause.id, root): c for c, _, root, _ in self._led(self._evidence.shown.items(), self._catalogue.wide)})
        out = []
        for key in sorted(keys):
            c, root = keys[key], key[1]
            missing = self._because(c, root)[1] if key not in self.weighed else ()
            if not missing:
                continue
            cover: dict[int, None] = {}
            for term in c.expects:
                if term.kind in kinds and not (c.at_root and len(term.steps) > 1):
                    for e, _ in active(term, root, self._evidence, self._walker):
                        u = self._evidence.shown[e].units[term.family]
                        if u not in named:
                            cover[u] = None
            if cover:
                out.append((missing, sorted(cover)))
        return out

    # -- what is ruled out -----------------------------------------------------------------------------------

    def rejected(self, cover: Iterable[int]) -> dict[Key, int]:
        """Causes out of the question that would have covered some of these units, and how many of them."""
        count: dict[Key, int] = {}
        for u in sorted(cover)[:MOST_ASKED]:
            unit = self._evidence.units[u]
            there = self._evidence.shown[unit.entity]
            mine: dict[Key, None] = {}
            only = Shown({k: there.symptoms[k] for k in unit.kinds}, there.units)
            for c, term, root, kind in self._led(((unit.entity, only),), self._catalogue.suspects):
                if not term.detail or term.matches(there.symptoms[kind]):
                    mine[(c.cause.id, root)] = None
            for key in mine:
                if key not in self.weighed:
                    count[key] = count.get(key, 0) + 1
        return count

    def why_not(self, key: Key) -> str | None:
        """The observation that rules the cause out at this root; None where it cannot be told."""
        because, missing = self._because(self._catalogue.by_id[key[0]], key[1])
        return None if missing else because

    def _because(self, c: Compiled, root: Entity) -> tuple[str | None, tuple[str, ...]]:
        """D7: (what was observed of its required symptoms, ()), or (None, signals that were not observed)."""
        key = (c.cause.id, root)
        found = self._out.get(key)
        if found is None:
            found = self._out[key] = self._look(c, root)
        return found

    def _look(self, c: Compiled, root: Entity) -> tuple[str | None, tuple[str, ...]]:
        observed: list[str] = []
        for term in c.required:
            for e in self._walker.walk(root, term.steps, term.on):
                status = self._evidence.status(e, term.kind)
                if status is Status.ACTIVE:
                    observed.append(f"{term.kind} on {e} is of another sort")
                elif status is Status.HEALTHY:
                    observed.append(f"{term.kind} on {e} observed healthy")
                if len(observed) >= MOST_REASONS:
                    break
        if observed:
            return "; ".join(observed[:MOST_REASONS]), ()
        return None, tuple(sorted({n for t in c.required for n in BY_KIND[t.kind].needs} | set(c.cause.needs)))
