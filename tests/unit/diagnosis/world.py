"""A small world to diagnose: entities, and symptoms reported on them."""

from __future__ import annotations

from typing import Any

from kroute.contracts.common import Entity
from kroute.contracts.rows import Change, Target
from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.infer import diagnose
from kroute.diagnosis.load import Catalogue, shipped
from kroute.diagnosis.model import Hypothesis
from kroute.signals.board import Board
from kroute.signals.changes import Changes
from kroute.signals.estate import Estate
from kroute.signals.model import Rows, Symptom
from kroute.signals.table import BY_KIND, judged_by

C = "prod"
T0 = 1_800_000_000_000
SHIPPED = shipped()


def entity(text: str) -> Entity:
    """``group/checkout`` in cluster ``prod``."""
    kind, _, name = text.partition("/")
    return Entity(kind, C, name)


class World:
    """Reports symptoms as the windows would, and diagnoses them."""

    def __init__(self, catalogue: Catalogue = SHIPPED, platform: str = "kafka") -> None:
        self.rows = Rows("prod")
        self.estate = Estate(self.rows)
        self.board = Board(self.rows)
        self.changes = Changes(self.rows)
        self.catalogue = catalogue
        self.estate.platforms[C] = platform
        self.now = T0

    def link(self, what: str, relation: str, *others: str) -> None:
        self.estate.connect(entity(what), relation, [entity(o) for o in others])

    def group(self, name: str, topic: str = "orders", leaders: tuple[int, ...] = (1,), coordinator: int = 1) -> None:
        self.link(f"group/{name}", "topics", f"topic/{topic}")
        self.link(f"group/{name}", "leaders", *(f"broker/{i}" for i in leaders))
        self.link(f"group/{name}", "coordinator", f"broker/{coordinator}")

    def sink(self, name: str, system: str = "warehouse", worker: str = "w1") -> None:
        self.link(f"connector/c/{name}", "system", f"system/{system}")
        self.link(f"connector/c/{name}", "worker", f"connect-worker/c/{worker}")
        self.link(f"connector/c/{name}", "group", f"group/connect-{name}")
        self.group(f"connect-{name}")

    def see(self, what: str, *kinds: str, since: int | None = None, detail: dict[str, Any] | None = None) -> None:
        """These kinds are active; everything else the same reporters judge is observed healthy."""
        e = entity(what)
        by: dict[str, list[Symptom]] = {}
        for kind in kinds:
            at = self.now - 60_000 if since is None else since
            s = Symptom(kind=kind, entity=e, since_ms=at, last_ms=self.now, value=1.0, why=f"{kind} seen", detail=detail or {})
            by.setdefault(BY_KIND[kind].reporter, []).append(s)
        for reporter, found in by.items():
            self.board.report(reporter, e, self.now, 30_000, judged_by(reporter, e.kind), found)

    def well(self, what: str, reporter: str) -> None:
        """Everything this reporter judges about the entity is observed healthy."""
        e = entity(what)
        self.board.report(reporter, e, self.now, 30_000, judged_by(reporter, e.kind))

    def declare(self, kind: str, what: str, at: int | None = None, ends: int | None = None) -> None:
        e = entity(what)
        self.changes.put(
            Change(
                id=f"{kind}-{len(self.changes.all())}", kind=kind, cluster=C, target=Target(kind=e.kind, name=e.name),
                starts_at_ms=self.now - 60_000 if at is None else at, ends_at_ms=ends,
            )
        )  # fmt: skip

    def diagnose(self) -> list[Hypothesis]:
        evidence = Evidence(self.board, self.estate, {}, self.changes, self.now)
        return diagnose(self.catalogue, self.estate, evidence)

    def causes(self) -> list[tuple[str, str]]:
        return [(h.cause, str(h.root)) for h in self.diagnose()]
