"""One worker on a real broker: partition-lag samples a second, memory per tracked partition, recovery after a kill.

    python tests/bench/bench_worker.py [--groups 2000] [--polls 20] [--fake]

A backlog of consumer-lag messages, 50 partitions each, lies in Kafka before the worker starts. Measured is the time
from the first message forwarded to the last fact durable: journal, rows, alerts. Memory is what the worker holds then,
above what it held before the first message. Then it is killed and started again on an empty folder, as on another
machine. Ends within some minutes. ``KROUTE_BOOTSTRAP`` names a broker; else one is started.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import orjson
from confluent_kafka import Producer

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from kroute.local.choose import choose  # noqa: E402
from kroute.local.process import free_ports  # noqa: E402
from kroute.stream.topics import create_topics  # noqa: E402
from tests.kafka.worker import PROGRAM, Installation, Worker  # noqa: E402

PARTITIONS = 50
POLL_S = 15
LIMIT_S = 300


def fill(installation: Installation, groups: int, polls: int) -> int:
    """Produce the backlog; how many messages it has."""
    settings = installation.settings
    create_topics(settings)
    producer = Producer({"bootstrap.servers": installation.bootstrap, "linger.ms": 20, "queue.buffering.max.kbytes": 500_000})
    topic = settings.names.full("consumer-lag")
    start = int(time.time() * 1000) - polls * POLL_S * 1000
    for poll in range(polls):
        for g in range(groups):
            end = 1_000_000 + poll * 10_000
            partitions = [
                {"topic": f"t{g % 40}", "partition": p, "committed": end - g - p, "end": end + p, "stable_end": end + p, "start": 0,
                 "leader": p % 5, "committed_at_ms": start + poll * POLL_S * 1000}
                for p in range(PARTITIONS)
            ]  # fmt: skip
            value = {"cluster": "bench", "observed_at_ms": start + poll * POLL_S * 1000, "interval_ms": POLL_S * 1000,
                     "group": f"g{g}", "state": "Stable", "protocol": "classic", "coordinator": g % 5, "partitions": partitions}  # fmt: skip
            producer.produce(topic, orjson.dumps(value), f"g{g}")
        producer.poll(0)
    assert producer.flush(60) == 0
    return groups * polls


def start(installation: Installation, folder: Path, *, fake: bool) -> Worker:
    """A worker with the real engine, or with the tests' small one."""
    port = free_ports(1)[0]
    real = [sys.executable, "-c", "from kroute.cli.main import main; main()", "worker"]
    program = [sys.executable, str(PROGRAM)] if fake else real
    env = {**os.environ, "PYTHONPATH": str(ROOT), **installation.env(KROUTE_DATADIR=str(folder), KROUTE_WEB_PORT=str(port))}
    log = folder.with_suffix(".log")
    with log.open("wb") as f:
        worker = Worker(subprocess.Popen(program, env=env, stdout=f, stderr=f), port, log)
    installation.workers.append(worker)
    return worker


def memory_mb(worker: Worker) -> float:
    """Resident memory now."""
    text = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else float("nan")


def processor_s(worker: Worker) -> float:
    """Processor time it has taken, in seconds: on a machine that does other things too, the figure that holds."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """``took_s``: from the first message forwarded to the last fact durable; ``spent_s``: its processor time in that;
    memory in MB: before the first message, the largest, and when all was done."""

    took_s: float
    spent_s: float
    before_mb: float
    peak_mb: float
    after_mb: float


def measure(installation: Installation, worker: Worker, messages: int) -> Measured:
    """Wait until the backlog is applied."""
    began = spent = before = peak = 0.0
    deadline = time.monotonic() + LIMIT_S
    topic = f'{{topic="{installation.settings.names.full("consumer-lag")}"}}'
    forwarded, offsets = 0.0, {"": 1.0}
    while time.monotonic() < deadline:
        assert worker.process.poll() is None, worker.text()
        forwarded = worker.metric("kroute_ingest_records_total").get(topic, 0)
        offsets = worker.metric("kroute_correlate_behind_records") or offsets
        now = memory_mb(worker)
        peak = max(peak, now)
        if not forwarded:
            before = now
        elif not began:
            began, spent = time.monotonic(), processor_s(worker)
        if forwarded >= messages and max(offsets.values()) <= 1:  # each second's progress was just sent
            return Measured(time.monotonic() - began, processor_s(worker) - spent, before, peak, memory_mb(worker))
        time.sleep(0.2)
    raise SystemExit(f"not done within {LIMIT_S} s: {forwarded:.0f} of {messages} messages forwarded, {offsets} facts behind")


def main() -> None:
    """Run and print one line per figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--polls", type=int, default=20)
    parser.add_argument("--fake", action="store_true", help="the small engine of the tests: what the shell alone costs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kafka = choose(folder / "kafka")
        installation = Installation(kafka.bootstrap, folder)
        try:
            messages = fill(installation, options.groups, options.polls)
            worker = start(installation, folder / "w1", fake=options.fake)
            got = measure(installation, worker, messages)
            samples, tracked = messages * PARTITIONS, options.groups * PARTITIONS
            print(f"samples a second      {samples / got.took_s:12,.0f}   ({samples:,} in {got.took_s:.1f} s, state written)")
            print(f"  of its processor    {samples / got.spent_s:12,.0f}   (a second that it ran; {got.spent_s:.1f} s)")
            for part in ("step", "commit"):
                total = sum(worker.metric(f"kroute_correlate_{part}_seconds_sum").values())
                count = sum(worker.metric(f"kroute_correlate_{part}_seconds_count").values())
                print(f"{part:<6} a unit         {total / count * 1000:12.1f} ms  ({total:.1f} s in {count:.0f} units)")
            each = (got.after_mb - got.before_mb) / tracked * 100_000
            print(f"memory per 100,000    {each:12,.0f} MB  (partitions; {tracked:,} are tracked)")
            print(f"memory in all         {got.after_mb:12,.0f} MB  (largest {got.peak_mb:,.0f}, before {got.before_mb:,.0f})")
            worker.kill()
            began = time.monotonic()
            worker = start(installation, folder / "w2", fake=options.fake)
            worker.wait_ready(LIMIT_S)
            rows = sum(worker.metric("kroute_recovery_rows").values())
            print(f"ready after a kill    {time.monotonic() - began:12.1f} s   ({rows:.0f} rows; 10 s are the session timeout)")
        finally:
            installation.close()
            kafka.stop()


if __name__ == "__main__":
    main()
