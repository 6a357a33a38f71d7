"""What the matrix reads from texts: client versions of an exposition, topics of Terraform's JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson

from kroute.admin.imports.model import mapping, mappings
from kroute.admin.imports.terraform import is_terraform
from kroute.errors import BadFile

_CLIENT = re.compile(r'client_?software_?(name|version)="([^"]*)"', re.IGNORECASE)


def client_versions(text: str) -> dict[str, int]:
    """``name version`` → connections, of the series of an exposition that carry both labels."""
    out: dict[str, int] = {}
    for line in text.splitlines():
        labels = {k.lower(): v for k, v in _CLIENT.findall(line)}
        if len(labels) == 2 and not line.startswith("#"):
            try:
                count = int(float(line.rsplit(" ", 1)[1]))
            except (ValueError, IndexError, OverflowError):
                continue
            key = f"{labels['name']} {labels['version']}"
            out[key] = out.get(key, 0) + count
    return out


def terraform_topics(document: object) -> dict[str, dict[str, Any]]:
    """Topic → its values, of ``terraform show -json`` or a raw state file."""
    top = mapping(document)
    out: dict[str, dict[str, Any]] = {}

    def take(type_: object, values: dict[str, Any]) -> None:
        name = values.get("topic_name") or values.get("name")
        if type_ in ("kafka_topic", "confluent_kafka_topic") and isinstance(name, str):
            out[name] = values

    def module(m: dict[str, Any]) -> None:
        for r in mappings(m.get("resources")):
            take(r.get("type"), mapping(r.get("values")))
        for child in mappings(m.get("child_modules")):
            module(child)

    module(mapping(mapping(top.get("planned_values") or top.get("values")).get("root_module")))
    for r in mappings(top.get("resources")):
        for instance in mappings(r.get("instances")):
            take(r.get("type"), mapping(instance.get("attributes")))
    return out


def read_terraform(path: str) -> dict[str, dict[str, Any]]:
    """Topics of a Terraform JSON file.

    Raises:
        BadFile: unreadable, or no JSON of Terraform.
    """
    try:
        document = orjson.loads(Path(path).read_bytes())
    except OSError as e:
        raise BadFile(path, None, None, e.strerror or str(e)) from None
    except ValueError as e:
        raise BadFile(path, None, None, f"no JSON: {e}") from None
    if not is_terraform(document):
        raise BadFile(path, None, None, "no JSON of Terraform; write it with terraform show -json")
    return terraform_topics(document)
