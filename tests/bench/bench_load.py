"""Ten times the planned rate of signals for ten minutes, and a source that floods meanwhile, on a real broker.

    python tests/bench/bench_load.py [--minutes 10] [--groups 200] [--curve curve.jsonl]

What is planned, for one worker: 100,000 partition positions (2,000 groups × 50 partitions, in 10 clusters), each polled
once in 30 s, the collector's default: 3,300 positions a second. Ten times that is the same estate polled each 3 s. Some
groups fall behind while it lasts, half of them with an objective; one more source sends the same poll 1,500 times a
second for two minutes. Told are memory and own lag over time, what was left out, how soon each slow group was named, and
whether the alerts are those of the facts. ``KROUTE_BOOTSTRAP`` names a broker; else one is started.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kroute.local.choose import choose  # noqa: E402
from kroute.stream.process import EXIT_FAILED  # noqa: E402
from tests.kafka.load import REAL, Estate, Load, Moment, Watch, begin, delivered, opened, reference, until  # noqa: E402
from tests.kafka.worker import Installation  # noqa: E402

PLANNED_S, OVERLOAD_S = 30.0, 3.0
WARM_S = 90
CAUGHT_UP_S = 5.0
LIMIT_S = 1800
FLOOD = 1500


def rest(watch: Watch, seconds: float) -> None:
    """Let time pass. A worker that ended by itself is started again, as a service manager does it, and that is told."""
    deadline = time.monotonic() + seconds
    while until(lambda: watch.worker.process.poll() is not None, deadline - time.monotonic()):
        if watch.worker.process.returncode != EXIT_FAILED or time.monotonic() > deadline:
            raise SystemExit(f"the worker ended:\n{watch.worker.text()[-4000:]}")
        print(f"at {watch.now.at_s:.0f} s it ended: {watch.worker.text().strip().splitlines()[-1]}", flush=True)
        watch.worker = watch.again()


def drive(load: Load, watch: Watch, estate: Estate, minutes: float) -> tuple[float, float, float]:
    """The planned rate, ten times that, and the planned rate until all is caught up; when the overload began and ended,
    and when all was caught up, in seconds of the watch."""
    load.start()
    watch.start()
    rest(watch, WARM_S)
    load.interval_s = OVERLOAD_S
    began = watch.now.at_s
    rest(watch, 60 * minutes / 10)
    now = int(time.time() * 1000)
    for i, cluster in enumerate(estate.names):
        estate.slow[cluster, f"g{0 if i % 2 else estate.groups - 1}"] = now
    rest(watch, 60 * minutes * 0.4)
    load.flood = FLOOD
    rest(watch, 60 * minutes * 0.2)
    load.flood = 0
    rest(watch, 60 * minutes * 0.3)
    load.interval_s = PLANNED_S
    ended = watch.now.at_s
    assert until(lambda: watch.now.lag_s < CAUGHT_UP_S and watch.now.ingest_lag_s < CAUGHT_UP_S, LIMIT_S), watch.now
    caught_up = watch.now.at_s
    rest(watch, 60)
    return began, ended, caught_up


def curve(moments: list[Moment], began: float) -> None:
    """A line for each minute."""
    print("minute   memory MB   lag of ingest s   lag of correlate s   left out   thinned partitions   urgent")
    for minute in range(int(moments[-1].at_s // 60) + 1):
        part = [m for m in moments if minute * 60 <= m.at_s < minute * 60 + 60]
        if part:
            print(
                f"{(minute * 60 - began) / 60:6.1f} {max(m.rss_mb for m in part):11.0f} {max(m.ingest_lag_s for m in part):17.1f}"
                f" {max(m.lag_s for m in part):20.1f} {part[-1].left_out:10.0f} {max(m.thinning for m in part):20.0f}"
                f" {max(m.urgent for m in part):8.0f}"
            )


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--groups", type=int, default=200, help="of each of the ten clusters")
    parser.add_argument("--curve", type=Path, help="write each second's figures here, as JSON lines")
    options = parser.parse_args()
    estate = Estate(clusters=10, groups=options.groups)
    with tempfile.TemporaryDirectory() as name:
        kafka = choose(Path(name) / "kafka")
        installation = Installation(kafka.bootstrap, Path(name))
        try:
            worker = begin(installation, estate)
            load, watch = Load(installation, estate, PLANNED_S), Watch(worker)
            watch.again = lambda: installation.run(list(REAL), "w1")
            try:
                began, ended, caught_up = drive(load, watch, estate, options.minutes)
            finally:
                load.done.set()
                watch.done.set()
                load.join(60)
            clean = watch.worker.stop()
            if options.curve:
                options.curve.write_text("".join(json.dumps(m._asdict()) + "\n" for m in watch.moments))
            curve(watch.moments, began)
            overload = watch.between(began + 60, ended)
            third = len(overload) // 3
            early, late = (median(m.rss_mb for m in part) for part in (overload[:third], overload[-third:]))
            print(f"sent                  {load.sent:,} polls and a flood of {load.flooded:,}")
            print(f"memory                {max(m.rss_mb for m in watch.moments):.0f} MB at most; the first third of the overload "
                  f"{early:.0f}, the last {late:.0f}")  # fmt: skip
            print(f"own lag               {max(max(m.lag_s, m.ingest_lag_s) for m in watch.moments):.0f} s at most, caught up {caught_up - ended:.0f} s "
                  f"after the overload; stopped with {clean}")  # fmt: skip
            live = delivered(installation)
            for what, watched in (("with an objective", True), ("without", False)):
                named = opened(live, "slow-consumer")
                took = [named[k] - at / 1000 for k, at in estate.slow.items() if (k[1] == "g0") is watched and k in named]
                of = sum((k[1] == "g0") is watched for k in estate.slow)
                print(
                    f"slow groups named     {len(took)} of {of} {what}, after {min(took):.0f} to {max(took):.0f} s of event time"
                )
            print(f"floods told           {sorted(opened(live, 'telemetry-flood'))}")
            expected = reference(installation)
            print(f"alerts                {len(live)}; of the facts: {len(expected)}; the same: {live == expected}")
        finally:
            installation.close()
            kafka.stop()


if __name__ == "__main__":
    main()
