"""Which causes at which roots are weighed, which are out of the question, and the observation that says so.

A cause with required symptoms is sought from those symptoms alone, so the many that merely could have explained
something cost nothing until a hypothesis asks why it was not them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kroute.contracts.common import Entity
from kroute.diagnosis.candidate import Candidate, Key, active, undeclared, weigh
from kroute.diagnosis.evidence import Evidence, Shown
from kroute.diagnosis.load import Catalogue, Compiled, Leads, Term
from kroute.diagnosis.paths import Walker
from kroute.signals.estate import Estate
from kroute.signals.model import Status
from kroute.signals.table import BY_KIND

MOST_REASONS = 3
MOST_ASKED = 64
"""Units of a hypothesis, in order, for which rejected rivals are sought; what explains the rest explains these too."""


class _Way(NamedTuple):
    """From an entity back along ``steps`` to roots of a kind: the causes that expect what it shows, each with the terms of
    which one must match in detail (none: it does as it is)."""

    steps: tuple[str, ...]
    root: str
    causes: tuple[tuple[Compiled, tuple[Term, ...]], ...]


Index = Mapping[str, tuple[Leads, ...]]
Shape = tuple[str, tuple[str, ...]]
"""Kind of an entity, and the kinds of symptoms that it shows."""


def _ways(index: Index, shape: Shape) -> tuple[_Way, ...]:
    """Where what an entity of this shape shows leads: each path once, with all the causes that it leads to."""
    found: dict[tuple[tuple[str, ...], str], dict[str, list[tuple[Compiled, Term]]]] = {}
    for kind in shape[1]:
        for leads in index.get(kind, ()):
            if leads.steps or leads.root == shape[0]:
                causes = found.setdefault((leads.steps, leads.root), {})
                for c, term in leads.causes:
                    causes.setdefault(c.cause.id, []).append((c, term))
    return tuple(_Way(steps, root, tuple(_asked(led) for led in causes.values())) for (steps, root), causes in found.items())


def _asked(led: list[tuple[Compiled, Term]]) -> tuple[Compiled, tuple[Term, ...]]:
    terms = tuple(term for _, term in led)
    return led[0][0], terms if all(term.detail for term in terms) else ()


class Suspects:
    """Candidates of one diagnosis. ``weighed``: those that can be considered, by key in order."""

    def __init__(self, catalogue: Catalogue, estate: Estate, evidence: Evidence, walker: Walker) -> None:
        self._catalogue = catalogue
        self._estate = estate
        self._evidence = evidence
        self._walker = walker
        self._out: dict[Key, str] = {}
        """Causes that are out of the question, and the observation that says so."""
        self._undeclared: dict[Key, None] = {}
        """Causes that no change which they require was declared for: weighed only where somebody asks why not."""
        self._ways: dict[Shape, tuple[_Way, ...]] = {}
        """By shape, where what may be asked about leads."""
        self.weighed: dict[Key, Candidate] = {}
        for c, roots in self._sought((evidence.shown, catalogue.seeds)):
            for root in sorted(roots):
                if c.changes and undeclared(c, root, evidence, walker):
                    self._undeclared[c.cause.id, root] = None
                else:
                    self._weigh(c, root)

    def _weigh(self, c: Compiled, root: Entity) -> None:
        candidate = weigh(c, root, self._evidence, self._walker)
        if candidate is None or not candidate.cover:
            return
        if candidate.invalid is None:
            self.weighed[candidate.key] = candidate
        else:
            self._out[candidate.key] = candidate.invalid

    def _known_out(self, key: Key) -> str | None:
        """The observation that rules the cause out, where it is known from weighing it, or was looked for before."""
        if key in self._undeclared:
            del self._undeclared[key]
            self._weigh(self._catalogue.by_id[key[0]], key[1])
        return self._out.get(key)

    def _sought(self, *asked: tuple[Mapping[Entity, Shown], Index]) -> Iterable[tuple[Compiled, dict[Entity, None]]]:
        """Every cause that a symptom leads to, by id, and the roots at which it exists on its platform, in no order.

        Entities of one shape are led the same ways: these are found once for all, and walked for all together.
        """
        found: dict[str, dict[Entity, None]] = {}
        for shown, index in asked:
            shapes: dict[Shape, list[Entity]] = {}
            for e, there in shown.items():
                shapes.setdefault((e.kind, tuple(there.symptoms)), []).append(e)
            for shape, entities in shapes.items():
                for way in _ways(index, shape):
                    for platform, roots in self._roots(entities, way).items():
                        for c, _ in way.causes:
                            if platform in c.cause.platforms:  # D9
                                found.setdefault(c.cause.id, {}).update(roots)
        for cause in sorted(found):
            yield self._catalogue.by_id[cause], found[cause]

    def _roots(self, entities: list[Entity], way: _Way) -> dict[str, dict[Entity, None]]:
        """By platform, the roots to which these entities of one kind are led."""
        ends: Iterable[Entity]
        if not way.steps:
            ends = entities
        elif entities[0].kind == way.root:
            ends = (r for e in entities for r in self._back(e, way))
        else:
            ends = self._walker.back_all(entities, way.steps, way.root)
        out: dict[str, dict[Entity, None]] = {}
        for root in ends:
            out.setdefault(self._estate.platform(root.cluster), {})[root] = None
        return out

    def _back(self, e: Entity, way: _Way) -> list[Entity]:
        """Roots to which one entity is led; by a path nobody is led to itself."""
        if not way.steps:
            return [e]
        return [r for r in self._walker.back(e, way.steps, way.root) if r != e]

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
                kinds.update(dict.fromkeys(there.symptoms))
        if not left:
            return []
        out = []
        for c, roots in self._sought((left, self._catalogue.suspects), (self._evidence.shown, self._catalogue.wide)):
            missing = tuple(sorted({n for t in c.required for n in BY_KIND[t.kind].needs} | set(c.cause.needs)))
            terms = [t for t in c.expects if t.kind in kinds and not (c.at_root and len(t.steps) > 1)]
            for root in sorted(self._unseen(c, roots)) if missing and terms else ():
                if (c.cause.id, root) in self.weighed:
                    continue
                cover = self._covered(terms, root, named)
                if cover and self._known_out((c.cause.id, root)) is None:
                    out.append((missing, cover))
        return out

    def _unseen(self, c: Compiled, roots: Iterable[Entity]) -> list[Entity]:
        """Those of the roots at which none of the required symptoms was judged at all."""
        unseen, walk = self._evidence.unseen, self._walker.walk
        if c.at_root:
            return unseen(roots, c.required)
        ends = ((root, [(t, walk(root, t.steps, t.on)) for t in c.required]) for root in roots)
        return [root for root, of in ends if all(len(unseen(there, (t,))) == len(there) for t, there in of)]

    def _covered(self, terms: Iterable[Term], root: Entity, named: Mapping[int, None]) -> list[int]:
        """Units outside ``named`` that these terms of a cause at the root would cover, in order."""
        shown = self._evidence.shown
        cover: dict[int, None] = {}
        for term in terms:
            for e, _ in active(term, root, self._evidence, self._walker):
                cover[shown[e].units[term.family]] = None
        return sorted(u for u in cover if u not in named)

    # -- what is ruled out -----------------------------------------------------------------------------------

    def rejected(self, cover: Iterable[int]) -> dict[Key, int]:
        """Causes out of the question that would have covered some of these units, and how many of them."""
        count: dict[Key, int] = {}
        for u in sorted(cover)[:MOST_ASKED]:
            unit = self._evidence.units[u]
            symptoms = self._evidence.shown[unit.entity].symptoms
            mine: dict[Key, None] = {}
            for way in self._ways_of((unit.entity.kind, unit.kinds)):
                causes = [c for c, terms in way.causes if not terms or any(t.matches(symptoms[t.kind]) for t in terms)]
                for root in self._back(unit.entity, way) if causes else ():
                    platform = self._estate.platform(root.cluster)
                    mine.update(((c.cause.id, root), None) for c in causes if platform in c.cause.platforms)
            for key in mine:
                if key not in self.weighed:
                    count[key] = count.get(key, 0) + 1
        return count

    def _ways_of(self, shape: Shape) -> tuple[_Way, ...]:
        found = self._ways.get(shape)
        if found is None:
            found = self._ways[shape] = _ways(self._catalogue.suspects, shape)
        return found

    def why_not(self, key: Key) -> str | None:
        """D7: the observation that rules the cause out at this root; None where it cannot be told."""
        found = self._known_out(key)
        if found is None:
            found = self._out[key] = self._look(self._catalogue.by_id[key[0]], key[1])
        return found or None

    def _look(self, c: Compiled, root: Entity) -> str:
        """What was observed of the symptoms that it requires; empty where none was."""
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
        return "; ".join(observed[:MOST_REASONS])
