"""How long a diagnosis takes when many symptoms arrive at once: ``python tests/bench/bench_diagnosis.py [--profile] [TIMES …]``.

The estate grows with the symptoms (brokers, topics, groups, connectors); about 500 symptoms at 1×, 50,000 at 100×.
Three faults at once: a share of the groups lag on their own, one broker in ten has slow storage and slows what it
leads, one outside system in five is slow. The target is 50,000 symptoms in under 3 s, and a cost that is linear. ``us_at_best_pace``
is the time had the core been as fast all along as it was at its best in this run (``pace.py``).
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kroute.diagnosis.evidence import Evidence
from kroute.diagnosis.infer import diagnose
from kroute.diagnosis.model import Hypothesis
from tests.bench.pace import Pace
from tests.unit.diagnosis.world import World


def estate(times: int) -> World:
    """``times`` × (10 brokers, 60 topics, 260 groups, 20 sinks) and their symptoms."""
    w = World()
    brokers, topics, groups, sinks = 10 * times, 60 * times, 260 * times, 20 * times
    since = w.now - 600_000
    for b in range(brokers):
        w.link(f"broker/{b}", "rack", f"rack/{'abc'[b % 3]}")
        if b % 10 == 0:
            w.see(f"broker/{b}", "local-time-high", "request-queue-high", "latency-high", since=since)
        else:
            w.well(f"broker/{b}", "metrics")
        w.well(f"broker/{b}", "topology")
    for t in range(topics):
        w.link(f"topic/t{t}", "topic-leaders", f"broker/{t % brokers}")
        w.well(f"topic/t{t}", "lag")
    for g in range(groups):
        t = g % topics
        w.group(f"g{g}", f"t{t}", leaders=(t % brokers,), coordinator=g * 7 % brokers)
        w.link(f"group/g{g}", "racks", f"rack/{'abc'[g % 3]}")
        slow = t % brokers % 10 == 0
        if slow or g % 2 == 0:
            w.see(f"group/g{g}", "lag-growing", "commits-slow", *(() if slow else ("member-lagging",)), since=since)
        else:
            w.well(f"group/g{g}", "lag")
    for s in range(sinks):
        w.sink(f"s{s}", f"system{s // 4}", f"w{s % (4 * times)}")
        w.group(f"connect-s{s}", f"t{s}", leaders=(s % brokers,), coordinator=s % brokers)
        if s // 4 % 5 == 0:
            w.see(f"connector/c/s{s}", "put-latency-high", since=since)
            w.see(f"group/connect-s{s}", "lag-growing", "commits-slow", since=since)
        else:
            w.well(f"connector/c/s{s}", "connect")
            w.well(f"group/connect-s{s}", "lag")
    return w


def run(w: World) -> tuple[float, list[Hypothesis]]:
    """Processor seconds of one diagnosis, and what it found."""
    started = time.process_time()
    found = diagnose(w.catalogue, w.estate, Evidence(w.board, w.estate, {}, w.changes, w.now))
    return time.process_time() - started, found


def main() -> None:
    """Print one JSON line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("times", nargs="*", type=int, default=[1, 10, 100])
    parser.add_argument("--profile", action="store_true", help="print where the time goes, for the last size")
    args = parser.parse_args()
    pace = Pace()
    for _ in range(200):  # 2 s: the best of them is taken for the core's own
        pace.beside()
    for times in args.times:
        w = estate(times)
        before = len(pace.slower())
        pace.beside()
        took, found = run(w)
        pace.beside()
        slow = statistics.fmean(pace.slower(before))
        causes: dict[str, int] = {}
        for h in found:
            causes[h.cause] = causes.get(h.cause, 0) + 1
        n = len(w.board.active)
        line = {
            "times": times,
            "symptoms": n,
            "seconds": round(took, 3),
            "us_per_symptom": round(took / n * 1e6, 1),
            "us_at_best_pace": round(took / slow / n * 1e6, 1),
            "causes": causes,
        }
        print(json.dumps(line), flush=True)
    if args.profile:
        profile = cProfile.Profile()
        profile.runcall(run, w)
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
