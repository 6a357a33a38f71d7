"""Ownership at 100,000 rows: checking and applying a folder, resolving one thing, and a change seen in routing.

    python tests/bench/bench_ownership.py [--rows 100000] [--files 200]

The rows lie in one YAML file a team. Measured are ``kroute ownership apply`` as a process (read, check, compare, write)
into an empty topic and once more without a change; the resolution of one thing in the engine's index; and, with a worker
that holds all these rows, the time from the start of ``kroute ownership apply`` of one changed row to the alert that goes
to the new owner. Ends within about four minutes. ``KROUTE_BOOTSTRAP`` names a broker; else one is started.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kroute.admin.ownership import folder  # noqa: E402
from kroute.admin.ownership.check import index  # noqa: E402
from kroute.local.choose import choose  # noqa: E402
from tests.kafka.feeder import Feeder  # noqa: E402
from tests.kafka.stack import Stack, root_of  # noqa: E402
from tests.kafka.test_kill import GROUPS  # noqa: E402

KINDS = ("topics", "groups", "services", "principals")
PLATFORM = """
team: team-platform
page: pagerduty://platform
cluster: prod
clusters: {other: {owner: team-platform}}
groups: {g1: {owner: , service: s-g1}}
services: {s-g1: {owner: OWNER, freshness: 10m}}
"""


def write(folder_: Path, rows: int, files: int) -> None:
    """The folder: each file a team with its share of the rows, a third of them patterns."""
    each = rows // files
    for f in range(files):
        lines = [f"team: team-{f}", f"page: pagerduty://team-{f}", f"notify: slack://team-{f}", "cluster: prod"]
        for k, kind in enumerate(KINDS):
            lines.append(f"{kind}:")
            for i in range(each * k // len(KINDS), each * (k + 1) // len(KINDS)):
                star = "*" if i % 3 == 0 else ""
                lines.append(
                    f'  "team{f}.app{i}{star}": {{runbook: "https://runbooks.example/team-{f}/{i}", labels: {{tier: {i % 3}}}}}'
                )
        (folder_ / f"team-{f}.yaml").write_text("\n".join(lines) + "\n")


def kroute(stack: Stack, *args: str) -> tuple[float, str]:
    """(seconds, output) of one command as a process."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "kroute.cli.main", *args], env=stack.env, capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"kroute {' '.join(args)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - began, done.stdout.splitlines()[-1]


def resolutions(path: Path) -> tuple[int, float, float]:
    """(rows, median and largest µs of a resolution), over batches of 1000 names of all sorts."""
    rows, problems = folder.read(path)
    assert not problems, problems[:3]
    known = index(rows)
    names = [(s.row.kind, s.row.name.rstrip("*") + (".x" if s.row.name.endswith("*") else "")) for s in rows[::7]]
    names += [(kind, f"nobody.{i}") for i, (kind, _) in enumerate(names[::5])]
    took = []
    for at in range(0, len(names) - 1000, 1000):
        began = time.perf_counter()
        for kind, name in names[at : at + 1000]:
            known.resolve(kind, "prod", name)
        took.append((time.perf_counter() - began) * 1000)
    return len(rows), median(took), max(took)


def newest(stack: Stack) -> dict[str, Any] | None:
    """The newest alert of the incident at g1."""
    found = [a for a in list(stack.alerts) if a["type"] != "heartbeat" and root_of(a) == "group/g1"]
    return found[-1] if found else None


def visible(stack: Stack, own: Path, rounds: int) -> list[tuple[float, float]]:
    """(seconds of the command, seconds from its end until an alert goes to the new destination), a round each.

    An incident of a team without a row is open at ``unowned``: such owners are looked up again, so a row of its service
    shows at once. Each round is an incident of its own.
    """
    out = []
    with Feeder(stack, GROUPS) as feeder:
        stack.wait_for_heartbeat(180)
        time.sleep(15)
        for _ in range(rounds):
            feeder.slow["g1"] = True
            wait(lambda: (a := newest(stack)) is not None and a["status"] == "firing", 120, "an incident")
            (own / "g1.yaml").write_text(PLATFORM.replace("OWNER", "team-platform"))
            took, _ = kroute(stack, "ownership", "apply", str(own), "--set", "g1", "--quiet", "--partial")
            began = time.monotonic()
            wait(lambda: any(r["team"] == "team-platform" for r in (newest(stack) or {"routes": []})["routes"]), 30, "the owner")
            out.append((took, time.monotonic() - began))
            feeder.slow["g1"] = False
            wait(lambda: (newest(stack) or {})["status"] == "resolved", 120, "the end")
            (own / "g1.yaml").write_text(PLATFORM.replace("{owner: OWNER, freshness: 10m}", "{owner: , freshness: 10m}"))
            kroute(stack, "ownership", "apply", str(own), "--set", "g1", "--quiet", "--partial")
            time.sleep(3)
    return out


def wait(holds: Any, limit_s: float, what: str) -> None:
    """Look every 20 ms."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.02)


def main() -> None:
    """Run and print one line per figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        many, own = work / "many", work / "own"
        many.mkdir()
        own.mkdir()
        write(many, options.rows, options.files)
        kafka = choose(work / "kafka")
        stack = Stack(kafka.bootstrap, work, {})
        os.environ["PYTHONPATH"] = str(ROOT)
        stack.env["PYTHONPATH"] = str(ROOT)
        try:
            took, said = kroute(stack, "ownership", "apply", str(many), "--quiet")
            print(f"apply, empty topic         {took:8.1f} s    ({said})")
            took, said = kroute(stack, "ownership", "apply", str(many), "--quiet")
            print(f"apply, nothing changed     {took:8.1f} s    ({said})")
            count, middle, most = resolutions(many)
            print(f"resolve one thing          {middle:8.2f} µs   (of {count:,} rows; slowest thousand {most:.2f} µs)")
            (own / "g1.yaml").write_text(PLATFORM.replace("{owner: OWNER, freshness: 10m}", "{owner: , freshness: 10m}"))
            kroute(stack, "ownership", "apply", str(own), "--set", "g1", "--quiet", "--partial")
            stack.start([])
            stack.processes.pop("collect").terminate()
            for command, seen in visible(stack, own, options.rounds):
                print(f"a change seen in routing   {seen:8.2f} s    after the command, which took {command:.2f} s")
        finally:
            stack.stop()
            kafka.stop()


if __name__ == "__main__":
    main()
