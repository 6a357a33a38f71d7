"""One scenario from its seed: the estate, what happens to it, the recording and the truth."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from kroute.contracts.topics import Names
from kroute.errors import ConfigError
from kroute.simulate import benign
from kroute.simulate import truth as truths
from kroute.simulate.estate import Size, build
from kroute.simulate.faults import MAKERS, NEEDS_LINK, causes
from kroute.simulate.happening import Draft, Happening, NoRoom
from kroute.simulate.model import Model
from kroute.simulate.observe.delivery import Delivery, Disturbance, Line
from kroute.simulate.observe.recorder import Recorder

EPOCH_MS = 1_795_392_000_000
"""A Monday at midnight (UTC), 2026-11-23; a scenario begins somewhere in the week after it."""
WEEK_S = 7 * 86_400
WARM_UP_S = 900.0
AFTER_S = 420.0
WATCH_S = 30.0
OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True)
class Scenario:
    """What is asked for. ``causes``: one or two faults by name; ``benign``: what else happens, by name.

    ``minutes``: length of the recording; the first 15 are healthy and some follow the faults' end.
    """

    name: str
    seed: int
    size: Size
    platform: str = "kafka"
    causes: tuple[str, ...] = ()
    benign: tuple[str, ...] = ()
    minutes: float = 40.0
    interval_s: float = 30.0
    disturbance: Disturbance = field(default_factory=Disturbance)
    start_hour: float | None = None
    """Hour of the week at which it begins; None: drawn."""

    def check(self) -> None:
        """Raise where this cannot be simulated.

        Raises:
            ConfigError: an unknown cause, one of another platform, or no time left after the warm-up.
        """
        known = causes(self.platform)
        for c in self.causes:
            if c not in MAKERS:
                raise ConfigError(f"{c!r} is no cause that can be simulated; there are: {', '.join(sorted(MAKERS))}")
            if c not in known:
                raise ConfigError(f"{c} does not happen on platform {self.platform}")
        for b in self.benign:
            if b not in benign.KINDS:
                raise ConfigError(f"{b!r} is nothing benign that can be simulated; there are: {', '.join(sorted(benign.KINDS))}")
        if self.minutes * 60 < WARM_UP_S + AFTER_S + 300:
            raise ConfigError(f"minutes: at least {(WARM_UP_S + AFTER_S + 300) / 60:.0f} (15 healthy, the fault, some after it)")
        if self.size.brokers < 3 or self.size.groups < 4:
            raise ConfigError("an estate has at least 3 brokers and 4 groups")
        if not 1.0 <= self.interval_s <= 600.0:
            raise ConfigError("interval: 1 to 600 seconds")


@dataclass
class Result:
    """A scenario that ran: its records by time, its truth, and the model's end (for looking at)."""

    lines: list[Line]
    truth: dict[str, Any]
    model: Model
    watch: truths.Watch
    happenings: list[Happening]


def _times(rng: np.random.Generator, seconds: float, count: int) -> list[tuple[float, float]]:
    """Onset and end of each fault: after the warm-up, overlapping by chance, with time after the last."""
    out = []
    room = seconds - WARM_UP_S - AFTER_S
    for _ in range(count):
        long = min(room, float(rng.uniform(max(300.0, room * 0.45), room)))
        begin = WARM_UP_S + float(rng.uniform(0, room - long))
        out.append((round(begin / 5) * 5.0, round((begin + long) / 5) * 5.0))
    return out


def _prepared(sc: Scenario) -> tuple[Model, list[Happening]]:
    """A fresh model with its happenings, the same each time."""
    rng = np.random.default_rng([sc.seed, 10])
    link = any(c in NEEDS_LINK for c in sc.causes) or bool(rng.random() < 0.1 and sc.size.groups >= 12)
    estate = build(rng, sc.size, sc.platform, link=link)
    second = float(rng.uniform(0, WEEK_S)) if sc.start_hour is None else sc.start_hour * 3600.0
    if sc.start_hour is None and "quiet-night" in sc.benign:
        second = second // 86_400 * 86_400 + float(rng.uniform(0, 3)) * 3600
    seconds = sc.minutes * 60.0
    m = Model(estate, sc.seed, EPOCH_MS + int(second) * 1000 + int(rng.integers(1000)), seconds)
    times = _times(rng, seconds, len(sc.causes) + len(sc.benign))
    taken: set[tuple[str, str]] = set()
    out: list[Happening] = []
    for n, cause in enumerate((*sc.causes, *sc.benign)):
        # the name stands in the generator: another cause beside it changes nothing of this one
        d = Draft(m, np.random.default_rng([sc.seed, 20 + n, zlib.crc32(cause.encode())]), *times[n], taken)
        make = MAKERS[cause] if n < len(sc.causes) else benign.KINDS[cause]
        h = make(d)
        h.fault = n < len(sc.causes)
        out.append(h)
    return m, out


def simulate(sc: Scenario) -> Result:
    """Run a scenario.

    Raises:
        ConfigError: it cannot be simulated.
    """
    sc.check()
    try:
        m, happenings = _prepared(sc)
    except NoRoom as e:
        raise NoRoom(f"{sc.name}: {e}; take another seed or a larger estate") from None
    delivery = Delivery(sc.disturbance, np.random.default_rng([sc.seed, 30]))
    recorder = Recorder(m, delivery, sc.interval_s, happenings, np.random.default_rng([sc.seed, 31]))
    recorder.state()
    watch = _run(m, happenings, recorder)
    faults: list[dict[str, Any]] = []
    for n, h in enumerate(happenings):
        if not h.fault:
            continue
        m2, again = _prepared(sc)
        other = _run(m2, [x for i, x in enumerate(again) if i != n], None)
        faults.append(_fault(m, h, watch, other))
    end_ms = m.started_ms + int(sc.minutes * 60_000)
    lines = sorted((x for x in delivery.lines if x.at_ms <= end_ms), key=lambda x: x.at_ms)
    quiet = [h for h in happenings if not h.fault]
    d = Draft(m, np.random.default_rng(0), 0, 0)
    said = {
        "seed": sc.seed, "platform": sc.platform, "started_ms": m.started_ms, "ends_ms": end_ms, "faults": faults,
        "benign": [_benign(m, h) for h in (*quiet, *benign.standing(d))], "missing": sc.disturbance.missing,
        "delay_s": sc.disturbance.delay_s, "interval_ms": int(sc.interval_s * 1000),
        "brokers": sc.size.brokers, "groups": len(m.ix.estate.groups),
    }  # fmt: skip
    return Result(lines, said, m, watch, happenings)


def _run(m: Model, happenings: list[Happening], recorder: Recorder | None) -> truths.Watch:
    watch = truths.Watch(WATCH_S)
    each = int(WATCH_S / m.dt)
    while m.i < m.steps:
        if m.i % each == 0:
            watch.look(m)
        m.step(happenings)
        if recorder is not None:
            recorder.step()
    return watch


def _fault(m: Model, h: Happening, watch: truths.Watch, other: truths.Watch) -> dict[str, Any]:
    e = m.ix.estate
    breached, near = truths.impact(e, watch, other, h)
    to_s = h.to_s
    if h.what == "replica-catch-up":  # it is over when all is in sync, not at a time that somebody set
        busy = [i for i, n in enumerate(watch.moving) if n > 0 and i * watch.every_s >= h.from_s]
        to_s = min((busy[-1] + 1) * watch.every_s if busy else h.from_s + watch.every_s, (m.steps - 1) * m.dt)
    return {
        "cause": h.what, "root": {"kind": h.root[0], "name": h.root[1]}, "cluster": h.cluster,
        "from_ms": m.started_ms + int(h.from_s * 1000), "to_ms": m.started_ms + int(to_s * 1000),
        "owners": {**truths.owners(e, h), "impact": breached, "at_risk": near}, "affected": truths.affected(e, watch, other, h),
        "severity": round(h.severity, 3), "note": h.note,
    }  # fmt: skip


def _benign(m: Model, h: Happening) -> dict[str, Any]:
    return {
        "what": h.what, "entity": {"kind": h.root[0], "name": h.root[1]}, "from_ms": m.started_ms + int(h.from_s * 1000),
        "to_ms": m.started_ms + int(h.to_s * 1000),
    }  # fmt: skip


def encoded(lines: list[Line], names: Names | None = None) -> Iterator[bytes]:
    """Lines of a recording, newline included."""
    full = names or Names()
    topics = {t: full.full(t) for t in {x.topic for x in lines}}
    for x in lines:
        value = x.value
        if value is not None and x.topic != "ownership":
            value = {k: v for k, v in value.items() if v is not None}
        yield orjson.dumps({"topic": topics[x.topic], "key": x.key, "timestamp_ms": x.at_ms, "value": value}, option=OPTIONS)


def write(sc: Scenario, folder: Path) -> tuple[Path, Path]:
    """Simulate and write ``<name>.jsonl`` and ``<name>.truth.json``.

    Raises:
        ConfigError: it cannot be simulated, or the folder cannot be written.
    """
    result = simulate(sc)
    recording, said = folder / f"{sc.name}.jsonl", folder / f"{sc.name}.truth.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with recording.open("wb") as f:
            f.writelines(encoded(result.lines))
        said.write_bytes(orjson.dumps(result.truth, option=orjson.OPT_INDENT_2 | OPTIONS))
    except OSError as e:
        raise ConfigError(f"--out {folder}: {e.strerror or e}") from None
    return recording, said
