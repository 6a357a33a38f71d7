"""Random schedules of deaths and rebalances on a broker of its own, until a number or a time is reached.

``python -m tests.soak --schedules 200 --minutes 60 --at-once 2 --seed 7``. Each schedule prints its seed; ``--seed N
--schedules 1`` plays that one again. The exit status is 1 where one of them lost, doubled or mixed up anything (WRONG), or
did not come to its end, as on a machine that is too slow for the sessions of its workers (UNFINISHED).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kroute.local.broker import LocalKafka
from tests.kafka.schedules import draw, play

_LOCK = threading.Lock()


def main() -> int:
    """Play schedules; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--schedules", type=int, default=100, help="how many (100)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin none after this time (60)")
    parser.add_argument("--seed", type=int, default=None, help="of the first; the next has the next number (by the clock)")
    parser.add_argument("--at-once", type=int, default=2, help="how many side by side (2)")
    parser.add_argument("--steps", type=int, default=5, help="deaths and rebalances in each (5)")
    parser.add_argument("--thin", action="store_true", help="workers leave polls out on purpose, as early as they can")
    parser.add_argument("--keep", type=Path, default=None, help="folder for logs and facts of schedules that failed")
    asked = parser.parse_args()
    first = int(time.time()) if asked.seed is None else asked.seed
    until = time.monotonic() + asked.minutes * 60
    failed: list[int] = []
    unfinished: list[int] = []
    done: list[int] = []

    with (
        tempfile.TemporaryDirectory(prefix="kroute-soak-") as name,
        LocalKafka(Path(name) / "kafka", heap_mb=512) as kafka,
        ThreadPoolExecutor(asked.at_once) as pool,
    ):

        def one(seed: int) -> None:
            if time.monotonic() > until:
                return
            began = time.monotonic()
            folder = Path(name) / f"seed-{seed}"
            folder.mkdir()
            workers = 1 + seed % 2
            try:
                outcome = play(kafka.bootstrap, folder, seed, workers, asked.steps, thin=asked.thin)
                wrong, figures = outcome.wrong, str(outcome)
            except Exception as e:
                wrong, figures = [f"{type(e).__name__}: {e}"], ""
            with _LOCK:
                done.append(seed)
                verdict = ("WRONG" if figures else "UNFINISHED") if wrong else "ok"
                took = time.monotonic() - began
                print(f"{verdict} seed {seed}, {workers} workers, {took:.0f} s: {figures}")
                if wrong:
                    (failed if figures else unfinished).append(seed)
                    for line in (*wrong, *(f"  {s}" for s in draw(seed, workers, asked.steps))):
                        print(f"    {line}")
                    if asked.keep is not None:
                        shutil.copytree(folder, asked.keep / folder.name, ignore=shutil.ignore_patterns("v1"))
                sys.stdout.flush()
            shutil.rmtree(folder, ignore_errors=True)

        try:
            list(pool.map(one, range(first, first + asked.schedules)))
        except KeyboardInterrupt:  # those under way come to their end
            pool.shutdown(wait=True, cancel_futures=True)
    print(f"{len(done)} schedules from seed {first}; wrong: {sorted(failed)}; unfinished: {sorted(unfinished)}")
    return 1 if failed or unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
