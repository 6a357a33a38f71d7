"""The long tier: ``python -m tests.fuzz.run --inputs 1200000``. Each input has a deadline, the process a bound on memory.

Every finding is written with its input to a folder; the seed and the number of the input give it again.
"""

from __future__ import annotations

import argparse
import gc
import logging
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.fuzz import decoders, files, pages
from tests.fuzz.target import Target

DEADLINE_S = 10.0
"""Seconds of processor for one input; the usual one takes less than a millisecond. By the clock, twelve times as many: others
may share the machine."""
MEMORY = 4 << 30
"""Bytes of address space."""
GROWTH = 512 << 20
"""Bytes by which the process may have grown at its peak."""


class TooSlow(BaseException):
    """An input was not done by its deadline. No ``except Exception`` swallows it."""


def all_targets() -> list[Target]:
    """Every way in."""
    return [*decoders.targets(), *files.targets(), *pages.targets()]


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Ends what takes longer."""

    def late(_: int, __: FrameType | None) -> None:
        raise TooSlow(f"not done within {seconds:g} s")

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 12 * seconds))
    before = [signal.signal(number, late) for number, _, _ in timers]
    for _, timer, after in timers:
        signal.setitimer(timer, after)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def put(target: Target, data: bytes) -> bool:
    """One input to one target, within its deadline; true when it was taken. Raises what must not be."""
    with deadline(DEADLINE_S):
        return target.check(data)


def drawn(seed: int, number: int, targets: list[Target]) -> tuple[Target, bytes]:
    """Input ``number`` of a seed, and where it goes."""
    rng = random.Random(seed * 1_000_003 + number)
    (target,) = rng.choices(targets, [t.weight for t in targets])
    return target, target.an_input(rng)


def peak_bytes() -> int:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Exit status 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="Number of the first input.")
    parser.add_argument("--only", action="append", help="A target by name; repeat for several.")
    parser.add_argument("--out", type=Path, default=Path(".kroute/fuzz"))
    parser.add_argument("--minutes", type=float, default=0.0, help="Stop after so long.")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    targets = [t for t in all_targets() if not args.only or t.name in args.only]
    for t in targets:
        for data in t.seeds():
            put(t, data)
    gc.collect()
    before, began = peak_bytes(), time.monotonic()
    count: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    found: Counter[str] = Counter()
    slowest = (0.0, "")
    n = args.first
    for n in range(args.first, args.first + args.inputs):
        if args.minutes and time.monotonic() - began > 60 * args.minutes:
            break
        target, data = drawn(args.seed, n, targets)
        at = time.monotonic()
        try:
            taken[target.name] += put(target, data)
        except (Exception, TooSlow, MemoryError) as e:
            where = traceback.extract_tb(e.__traceback__)[-1]
            what = f"{target.name}: {type(e).__name__} at {Path(where.filename).name}:{where.lineno}: {str(e)[:120]!r}"
            key = f"{target.name}: {type(e).__name__} at {Path(where.filename).name}:{where.lineno}"
            found[key] += 1
            if found[key] == 1:
                print(f"input {n}: {what}", flush=True)
                args.out.mkdir(parents=True, exist_ok=True)
                path = args.out / f"{args.seed}-{n}"
                path.with_suffix(".input").write_bytes(data)
                path.with_suffix(".txt").write_text("".join(traceback.format_exception(e)), errors="backslashreplace")
        took = time.monotonic() - at
        count[target.name] += 1
        spent[target.name] += took  # type: ignore[assignment]
        slowest = max(slowest, (took, f"{target.name}, input {n}, {len(data)} bytes"))
        if n % 100_000 == 99_999:
            print(
                f"{n + 1}: {time.monotonic() - began:.0f} s, {sum(found.values())} findings, {peak_bytes() >> 20} MiB", flush=True
            )
    for name in sorted(count):
        print(
            f"{name:28} {count[name]:8} inputs, {100 * taken[name] / count[name]:3.0f} % taken, {1e6 * spent[name] / count[name]:6.0f} us each"
        )
    grown = peak_bytes() - before
    print(
        f"{sum(count.values())} inputs in {time.monotonic() - began:.0f} s; slowest {slowest[0]:.2f} s ({slowest[1]}); memory grew by {grown >> 20} MiB"
    )
    print(f"{len(found)} kinds of finding" + "".join(f"\n  {k} ({v})" for k, v in found.most_common()))
    return int(bool(found) or grown > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
