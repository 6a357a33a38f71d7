"""Documents cannot rot: what is not described fails the build."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from kroute.cli.main import cli
from kroute.contracts.topics import TOPICS
from kroute.diagnosis.load import shipped
from kroute.signals.table import KINDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    return cli.list_commands(click.Context(cli))


@pytest.mark.parametrize("name", commands())
def test_every_command_stands_in_the_readme_and_helps(name: str) -> None:
    assert f"`kroute {name}`" in README
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help


def test_every_setting_stands_in_the_readme() -> None:
    source = (ROOT / "kroute" / "settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"(KROUTE_[A-Z_]+)"', source))
    assert len(names) > 10
    for name in sorted(names):
        assert f"`{name}`" in README, name


def test_the_readme_names_no_setting_or_command_that_does_not_exist() -> None:
    source = "".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "kroute").rglob("*.py")))
    for name in set(re.findall(r"`(KROUTE_[A-Z_]+)`", README)):
        assert f'"{name}"' in source, name
    for name in set(re.findall(r"`kroute ([a-z]+)", README)):
        assert name in commands(), name


@pytest.mark.parametrize("path", sorted(re.findall(r"`((?:tests|kroute|deploy)/[\w/.-]+)`", README)))
def test_every_file_that_the_readme_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_symptom_and_cause_has_a_title() -> None:
    assert all(k.title for k in KINDS)
    assert all(c.title and c.runbook_hint for c in shipped().causes.values())


def test_every_topic_is_described_where_it_is_created() -> None:
    assert all(spec.config for spec in TOPICS.values())
