"""The whole matrix: every question put to what was gathered. Pure."""

from __future__ import annotations

from kroute.readiness import coverage, evidence, migration, network, safety, semantics, storage
from kroute.readiness.model import Gathered, Question, Row

QUESTIONS: tuple[Question, ...] = (
    *semantics.QUESTIONS, *coverage.QUESTIONS, *storage.QUESTIONS, *network.QUESTIONS, *safety.QUESTIONS, *migration.QUESTIONS,
)  # fmt: skip


def matrix(g: Gathered) -> list[Row]:
    """All rows by area; the evidence before automation comes last, from the rows before it."""
    rows = [_row(q, g) for q in QUESTIONS]
    last = Question("automation", "automation", "Is what is granted drilled?", evidence.automation)
    return [*rows, *evidence.derived({r.id: r for r in rows}), _row(last, g)]


def _row(q: Question, g: Gathered) -> Row:
    state, said, advice = q.check(g)
    return Row(id=q.id, area=q.area, question=q.question, state=state, evidence=said, advice="" if state == "pass" else advice)
