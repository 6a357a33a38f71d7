"""``kroute acls``: the least rights of each process, as commands to run or as a list."""

from __future__ import annotations

import sys

import click
import orjson
import yaml

from kroute.rights.model import Grant
from kroute.rights.processes import OF_A_REALM, PROCESSES, rights
from kroute.rights.text import commands, rows
from kroute.settings import Settings, load


@click.command()
@click.argument("processes", nargs=-1, metavar="[PROCESS]...")
@click.option(
    "--principal", "named", multiple=True, metavar="PROCESS=PRINCIPAL",
    help="Who a process is to Kafka; User:kroute-<process> where it is not said. May be given several times.",
)  # fmt: skip
@click.option(
    "--realm", "realms", multiple=True, metavar="REALM=PRINCIPAL",
    help="Who may write kroute.controls.<realm>. Several times, also for one realm.",
)  # fmt: skip
@click.option("--executor", "executors", multiple=True, metavar="REALM", help="The realm is an executor's: it reads alerts too.")
@click.option("--group", default="kroute-notifier", show_default=True, help="Consumer group of a notifier.")
@click.option("--no-create", is_flag=True, help="Topics are made by somebody else: the worker may not.")
@click.option("--format", "form", type=click.Choice(["commands", "json", "yaml"]), default="commands", show_default=True)
@click.option("--command-config", default="admin.properties", show_default=True, help="Of kafka-acls, in printed commands.")
def command(
    processes: tuple[str, ...], named: tuple[str, ...], realms: tuple[str, ...], executors: tuple[str, ...], group: str,
    no_create: bool, form: str, command_config: str,
) -> None:  # fmt: skip
    """Print the least each process needs to be allowed on Kafka.

    PROCESS is one of worker, collector, source, reader, ownership, policy, changes, responder, executor, notifier;
    all of kroute's own Kafka where none is given. `source` is for the clusters that the collector polls: run its commands
    there. Names follow the settings (KROUTE_APP_ID, KROUTE_PREFIX, KROUTE_ALERTS_TOPIC, KROUTE_REALMS).
    """
    settings = load()
    for p in processes:
        if p not in PROCESSES:
            raise click.UsageError(f"{p!r} is no process; there is {', '.join(PROCESSES)}")
    grants = _grants(
        settings, processes or tuple(p for p in PROCESSES if p not in ("source", *OF_A_REALM)) + OF_A_REALM,
        _pairs(named, "--principal"), _pairs(realms, "--realm"), executors, group, create=not no_create,
    )  # fmt: skip
    if form == "commands":
        click.echo("\n".join(commands(grants, settings.kafka.bootstrap, command_config)))
    elif form == "json":
        sys.stdout.write(orjson.dumps(rows(grants), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write(yaml.safe_dump(rows(grants), sort_keys=False))


def _grants(
    settings: Settings, processes: tuple[str, ...], named: list[tuple[str, str]], realms: list[tuple[str, str]],
    executors: tuple[str, ...], group: str, *, create: bool,
) -> list[Grant]:  # fmt: skip
    from kroute.stream.topics import realms as configured  # noqa: PLC0415  (--help must not import the Kafka client)

    who: dict[str, list[str]] = {}
    for process, principal in named:
        if process not in PROCESSES:
            raise click.UsageError(f"--principal {process}=…: there is no such process; there is {', '.join(PROCESSES)}")
        who.setdefault(process, []).append(principal)
    every = sorted({*configured(), *(r for r, _ in realms), *executors})
    unread = [r for r in every if r not in configured()]
    if unread:
        raise click.UsageError(f"realm {unread[0]} is not in KROUTE_REALMS: no worker would read its controls")
    out: list[Grant] = []
    for process in processes:
        if process not in OF_A_REALM:
            for principal in who.get(process, [f"User:kroute-{process}"]):
                needed = rights(settings, process, every, create=create, group=group)
                out += [Grant(process, principal, r) for r in needed]
            continue
        mine = [r for r in every if (r in executors) == (process == "executor")]
        for realm in mine:
            principals = [p for r, p in realms if r == realm] or who.get(process) or [f"User:kroute-{realm}"]
            for principal in principals:
                needed = rights(settings, process, every, realm, group=group)
                out += [Grant(f"{process} {realm}", principal, r) for r in needed]
        if process == "responder" and not mine and (processes == ("responder",) or process in who):
            for principal in who.get(process, ["User:kroute-responder"]):
                out += [Grant(process, principal, r) for r in rights(settings, process, every)]
        if process == "executor" and not mine and processes == ("executor",):
            raise click.UsageError("an executor reports as a realm of its own; give --executor REALM")
    return out


def _pairs(words: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    out = []
    for word in words:
        name, eq, principal = word.partition("=")
        if not eq or not name or not principal.partition(":")[2]:
            raise click.UsageError(f"{option} {word!r}: write name=User:principal")
        out.append((name, principal))
    return out
