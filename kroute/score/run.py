"""A corpus through the engine: one recording after the other, or several at a time in processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from msgspec import Struct

from kroute.engine import Engine, build
from kroute.errors import KrouteError
from kroute.replay import read, replay
from kroute.score import baselines
from kroute.score.baselines import Pages
from kroute.score.measure import Measured, measure
from kroute.score.recorded import collected, decoded, missing_share
from kroute.score.told import incidents
from kroute.score.truth import Truth, name_of
from kroute.settings import Settings


class Scored(Struct, kw_only=True):
    """One recording: its measures and those of the baselines (name → one per tuning), or what made it unusable.

    ``spans_s``: seconds of recorded time; ``took_s``: seconds of work; ``refused``: records that were dead letters.
    """

    recording: str
    platform: str
    benign: tuple[str, ...]
    spans_s: float
    measured: Measured | None = None
    baselines: dict[str, tuple[Pages, ...]] = {}
    alerts: int = 0
    refused: int = 0
    refused_why: str | None = None
    took_s: float = 0.0
    error: str | None = None


@lru_cache(maxsize=1)
def _engine(settings_key: str | None, heartbeat_s: int) -> Engine:
    return build(Settings(catalogue_dir=settings_key, heartbeat_s=heartbeat_s))


def score_one(path: Path, name: str, truth: Truth, settings: Settings) -> Scored:
    """Replay one recording and measure what came. Raises nothing: a file that cannot be used is told in ``error``."""
    began = time.perf_counter()
    out = Scored(
        recording=name,
        platform=truth.platform,
        benign=tuple(sorted({b.what for b in truth.benign})),
        spans_s=max(0, truth.ends_ms - truth.started_ms) / 1000,
    )
    try:
        engine = _engine(settings.catalogue_dir, settings.heartbeat_s)
        recording = read(path, settings)
        outcome = replay(recording, engine, settings, truth.ends_ms)
        known = decoded(recording.records, settings.names)
        held = collected(known.messages)
        missing = [
            truth.missing if truth.missing is not None else missing_share(engine.catalogue.causes.get(f.cause), held)
            for f in truth.faults
        ]
        out.measured = measure(name, incidents(outcome.alerts), truth, missing)
        out.baselines = baselines.run(known, truth.faults)
        out.alerts = len(outcome.alerts)
        out.refused = len(outcome.refused)
        out.refused_why = str(outcome.refused[0][1]) if outcome.refused else None
        out.error = next(iter(outcome.failed()), None)
    except KrouteError as e:
        out.error = str(e)
    out.took_s = time.perf_counter() - began
    return out


def score_all(
    folder: Path, corpus: Sequence[tuple[Path, Truth]], settings: Settings, jobs: int, say: Callable[[Scored], None]
) -> list[Scored]:  # fmt: skip
    """Score every recording with ``jobs`` processes; ``say`` is told of each as it is done. In the order of the corpus."""
    asked = [(p, name_of(p.relative_to(folder).as_posix().removesuffix(".jsonl")), t, settings) for p, t in corpus]
    out: list[Scored] = []
    if jobs <= 1 or len(asked) == 1:
        for a in asked:
            out.append(score_one(*a))
            say(out[-1])
        return out
    with ProcessPoolExecutor(min(jobs, len(asked)), mp_context=get_context("spawn")) as pool:
        for result in pool.map(_score, asked):
            out.append(result)
            say(result)
    return out


def _score(asked: tuple[Path, str, Truth, Settings]) -> Scored:
    return score_one(*asked)
