"""The engine alone, one step per envelope of facts: samples a second in steady state, and memory per tracked partition.

    python tests/bench/bench_engine.py [--groups 200] [--partitions 50] [--readers 4] [--polls 100] [--warm 70]

Healthy groups, a poll each 15 s, 25 messages to an envelope, the journal's rows made and dropped. ``--readers``: so many
groups read one topic. Figures are of processor time: the median over the polls, the best of them, and the median at the best
pace of the core, which is taken after each poll (``pace.py``). Memory is what the process has grown by since before the first message, once all windows are full.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import orjson

sys.path.insert(0, str(Path(__file__).parents[2]))

from kroute.contracts.facts import PROGRESS, Envelope, Fact
from kroute.engine import PartitionState, build
from kroute.settings import Settings
from tests.bench.pace import Pace

T0 = 1_700_000_000_000
POLL_MS = 15_000
PER_ENVELOPE = 25
SRC = "kroute.consumer-lag"


def message(g: int, k: int, partitions: int, readers: int) -> bytes:
    """Poll ``k`` of group ``g``: it keeps up, and commits a little behind the log end."""
    end = 1_000_000 + k * 10_000
    at = T0 + k * POLL_MS
    ps = [
        {"topic": f"t{g // readers}", "partition": p, "committed": end + p - (7 * g + p * k) % 60, "end": end + p,
         "stable_end": end + p, "start": 0, "leader": p % 5, "committed_at_ms": at}
        for p in range(partitions)
    ]  # fmt: skip
    return orjson.dumps({
        "cluster": "bench", "observed_at_ms": at, "interval_ms": POLL_MS, "group": f"g{g}", "state": "Stable",
        "protocol": "classic", "coordinator": g % 5, "partitions": ps,
    })  # fmt: skip


def envelopes(groups: int, k: int, partitions: int, readers: int) -> Iterator[bytes]:
    """One poll of all groups, then time moves on."""
    at = T0 + k * POLL_MS
    for first in range(0, groups, PER_ENVELOPE):
        some = range(first, min(groups, first + PER_ENVELOPE))
        facts = [
            Fact(
                "consumer-lag",
                SRC,
                0,
                k * groups + g,
                at,
                f"g{g}",
                d="bench",
                val=msgspec.Raw(message(g, k, partitions, readers)),
            )
            for g in some
        ]
        facts.append(Fact(PROGRESS, SRC, 0, 0, at + 100 + first, of=1))
        yield msgspec.json.encode(Envelope(facts=tuple(facts)))


def poll(state: PartitionState, k: int, args: argparse.Namespace, profile: cProfile.Profile | None = None) -> float:
    """Processor seconds of one poll of all groups: decoding the envelopes and stepping over them."""
    decode = msgspec.json.Decoder(Envelope).decode
    spent = 0.0
    offset = k * (args.groups // PER_ENVELOPE + 1)
    for i, raw in enumerate(envelopes(args.groups, k, args.partitions, args.readers)):
        if profile is not None:
            profile.enable()
        began = time.process_time()
        effects = state.step(offset + i, decode(raw))
        spent += time.process_time() - began
        if profile is not None:
            profile.disable()
        assert all(a.key.startswith("heartbeat/") for a in effects.alerts), effects.alerts
    return spent


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("groups", 200), ("partitions", 50), ("readers", 4), ("polls", 100), ("warm", 70)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--profile", action="store_true", help="print where the time goes in steady state")
    args = parser.parse_args()
    engine = build(Settings())
    warm_up = engine.new_state(1)
    for raw in envelopes(1, 0, args.partitions, 1):
        warm_up.step(0, msgspec.json.decode(raw, type=Envelope))
    state = engine.new_state(0)
    gc.collect()
    before = resident_bytes()
    profile = cProfile.Profile() if args.profile else None
    pace, times = Pace(), []
    for k in range(args.polls):
        times.append(poll(state, k, args, profile if k >= args.warm else None))
        pace.beside()
    gc.collect()
    grown = resident_bytes() - before
    tracked = args.groups * args.partitions
    steady = times[args.warm :]
    middle, best = statistics.median(steady), min(steady)
    paced = statistics.median(t / slow for t, slow in zip(steady, pace.slower(args.warm), strict=True))
    print(f"{tracked:,} partitions in {args.groups} groups, {args.readers} to a topic")
    each = f"best poll {tracked / best:,.0f}; {middle / args.groups * 1e6:.0f} µs a message"
    print(f"samples a second {tracked / middle:10,.0f}  ({each})")
    print(f"at the best pace {tracked / paced:10,.0f}  ({pace.said(args.warm)})")
    print(f"memory           {grown / tracked:10,.0f}  bytes per tracked partition ({grown / 2**20:.0f} MiB)")
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
