"""Random schedules of deaths and rebalances: everything in one follows from its seed, save what the machine's timing adds."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

from kroute.stream.process import EXIT_FAILED
from tests.kafka import compared, crashes
from tests.kafka.compared import Outcome
from tests.kafka.crashes import KILLED, Estate, Feed, every_point, fed
from tests.kafka.outage import alerts_flow
from tests.kafka.worker import Worker


@dataclass
class Step:
    """One thing that happens to one of the workers. ``at``: the crash point it is started with, where it dies by itself.

    ``kind``: ``point`` | ``kill`` | ``stop`` | ``pause`` | ``join``. ``after_s``: how long after it was started.
    ``evicted``: its member leaves the group at once, as if 10 s had passed.
    """

    kind: str
    slot: int
    at: str
    after_s: float
    evicted: bool
    datadir: str

    def __str__(self) -> str:
        what = self.at or f"after {self.after_s:.2f} s"
        return f"w{self.slot} {self.kind} {what} on {self.datadir}{'' if self.evicted else ', left to its session'}"


def draw(seed: int, workers: int, steps: int) -> list[Step]:
    """The steps of a schedule."""
    rng = random.Random(seed)
    points = [p.partition("+")[0].partition(":")[0] for p in every_point()]
    out = []
    for n in range(steps):
        kind = rng.choices(("point", "kill", "stop", "pause", "join"), (10, 5, 2, 1.5, 2 if workers > 1 else 0))[0]
        at = ""
        if kind == "point":
            at = f"{rng.choice(points)}:{rng.choice((1, 2, 5, 10, 20, 40))}"
            at += f"+{rng.randrange(1, 300)}" if rng.random() < 0.5 else ""
        slot = rng.randrange(workers)
        datadir = f"w{slot}" if rng.random() < 0.6 else f"w{slot}-{n}"
        out.append(Step(kind, slot, at, rng.uniform(0.0, 4.0), rng.random() < 0.85, datadir))
    return out


class Run:
    """One schedule under way: who runs in which slot, and the feed."""

    def __init__(self, feed: Feed, seed: int, workers: int, steps: int) -> None:
        self.feed, self.estate = feed, feed.estate
        self.rng = random.Random(seed + 1)
        self.steps = draw(seed, workers, steps)
        self.slots: dict[int, Worker] = {}
        self.workers = workers
        self._env = crashes.environment(seed)

    def play(self) -> Outcome:
        """All steps, one after the other; then all workers once more, to the end."""
        for slot in range(self.workers):
            self._start(slot, f"w{slot}", "")
        for step in self.steps:
            self._step(step)
        for slot in range(self.workers):
            worker = self.slots.get(slot)
            if worker is None or worker.process.poll() is not None:
                self.estate.ready(f"w{slot}")
        alerts_flow(self.estate)  # some time goes by with nothing amiss
        return compared.end(self.feed)

    def _step(self, step: Step) -> None:
        if step.kind == "point":  # a worker is armed as it starts: whoever runs in its place goes first
            self._end(step, signal.SIGKILL if self.rng.random() < 0.5 else signal.SIGTERM)
            worker = self._start(step.slot, step.datadir, step.at)
            self._await_point(step, worker)
            self._end(step, signal.SIGKILL)
            return
        self._start(step.slot, step.datadir, "")
        worker = self._running(step.slot)
        if step.kind == "join":  # a rebalance in mid-window, and one more as it goes
            guest = self.estate.worker(f"{step.datadir}-guest", **self._env)
            time.sleep(2 + step.after_s)
            self._gone(guest, signal.SIGKILL if step.at or self.rng.random() < 0.5 else signal.SIGTERM, evicted=step.evicted)
            return
        self._maybe_ready(worker)
        time.sleep(1 + step.after_s)
        if step.kind == "pause":
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGSTOP)
                # Shorter than its session, and sometimes longer: then it must not write over what another wrote.
                time.sleep(step.after_s if self.rng.random() < 0.6 else 12 + step.after_s)
                worker.process.send_signal(signal.SIGCONT)
            return
        self._end(step, signal.SIGTERM if step.kind == "stop" else signal.SIGKILL)

    def _maybe_ready(self, worker: Worker) -> None:
        """One time in two, let it get as far as to work before something happens to it."""
        if self.rng.random() < 0.5:
            deadline = time.monotonic() + 30
            while worker.process.poll() is None and worker.get("/ready")[0] != 200 and time.monotonic() < deadline:
                time.sleep(0.2)

    def _await_point(self, step: Step, worker: Worker) -> None:
        """Most points are reached within seconds; one that is not (its partitions are elsewhere) is a kill at random."""
        deadline = time.monotonic() + 14
        while worker.process.poll() is None and time.monotonic() < deadline:
            if wanted := crashes.asked_for(step.at):
                self.feed.ask(wanted)
            if step.at.startswith("drained") and time.monotonic() > deadline - 4:
                worker.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)

    def _start(self, slot: int, datadir: str, at: str) -> Worker:
        """The worker of a slot; a new one only where none runs."""
        worker = self.slots.get(slot)
        if worker is None or worker.process.poll() is not None:
            worker = self.slots[slot] = self.estate.worker(datadir, at, **self._env)
        return worker

    def _running(self, slot: int) -> Worker:
        return self.slots[slot]

    def _end(self, step: Step, sig: signal.Signals) -> None:
        worker = self.slots.pop(step.slot, None)
        if worker is not None:
            self._gone(worker, sig, evicted=step.evicted)

    def _gone(self, worker: Worker, sig: signal.Signals, *, evicted: bool) -> None:
        if worker.process.poll() is None:
            worker.process.send_signal(sig)
            try:
                worker.process.wait(40)
            except TimeoutExpired:
                worker.kill()
                raise AssertionError(f"it did not end:\n{worker.text()[-3000:]}") from None
        # 1: it ended by itself before (a session that was over) and is started again, which is the one recovery path; 2 would be
        # a state it refuses. It may also not be far enough to mind a SIGTERM. A stop ends in order whenever it comes.
        code, text = worker.process.returncode, worker.text()
        assert code in (0, EXIT_FAILED, KILLED, -signal.SIGTERM), f"it ended with {code}:\n{text[-3000:]}"
        assert "the stop was not over" not in text, text[-3000:]
        if evicted:
            self.estate.evict(worker)


def chain(bootstrap: str, folder: Path, seed: int, points: Sequence[str]) -> Outcome:
    """One installation whose worker dies at each of these commit points, one after the other; then one that lives."""
    folder.mkdir()
    with fed(Estate(bootstrap, folder), seed) as feed:
        for n, at in enumerate(points):
            crashes.die_at(feed, at, f"w{n % 2}")
        feed.estate.ready()
        alerts_flow(feed.estate, more=20)  # and some time goes by with nothing amiss
        return compared.end(feed)


def play(bootstrap: str, folder: Path, seed: int, workers: int, steps: int, *, thin: bool = False) -> Outcome:
    """One schedule on a broker; its outcome tells what is wrong. ``thin``: with polls that are left out on purpose.

    Raises:
        AssertionError: it did not come to its end.
    """
    with fed(Estate(bootstrap, folder, thin=thin), seed) as feed:
        outcome = Run(feed, seed, workers, steps).play()
        feed.estate.delete_topics()
        return outcome
