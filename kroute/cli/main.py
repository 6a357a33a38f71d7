"""``kroute``: finds each command in the file of its name and turns kroute's own errors into one clear line."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

import kroute
import kroute.cli
from kroute import redact
from kroute.contracts.common import one_line
from kroute.errors import KrouteError


class Commands(click.Group):
    """Loads a command's module only when it is asked for: ``kroute schema`` must not import Faust."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(m.name for m in pkgutil.iter_modules(kroute.cli.__path__) if m.name != "main" and m.name[0] != "_")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"kroute.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(kroute.__version__, prog_name="kroute")
def cli() -> None:
    """Routes trouble on a shared Kafka to the three teams it concerns: impact, diagnosis, action."""


def main() -> None:
    """Console entry point. Exit status 2 for a mistake of the user's, 1 for anything else kroute raised."""
    try:
        cli(prog_name="kroute")
    except KrouteError as e:
        said = "\n".join(one_line(line) for line in str(e).split("\n"))  # it may name what stands in a stranger's file
        click.echo(redact.clean(f"kroute: {said}"), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
