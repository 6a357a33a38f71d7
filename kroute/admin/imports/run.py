"""Reads files of any of the three sources, told apart by what stands in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from kroute.admin.imports import backstage, strimzi, terraform
from kroute.admin.imports.model import Imported
from kroute.errors import BadFile
from kroute.files import read_documents

MAX_BYTES = 256 * 1024 * 1024


def run(paths: Iterable[Path], cluster: str | None, owner: str | None) -> Imported:
    """Rows of all files; a folder is searched for ``.yaml``, ``.yml``, ``.json`` and ``.tfstate``.

    ``cluster``: the name that alerts carry; Strimzi's resources may name it themselves. ``owner``: of Terraform's
    resources that name none.

    Raises:
        BadFile: a file that cannot be read or is of none of the sources.
    """
    out = Imported()
    for path in paths:
        files = sorted(f for f in path.rglob("*") if f.suffix in _READ and f.is_file()) if path.is_dir() else [path]
        if not files:
            raise BadFile(str(path), None, None, f"has no {', '.join(sorted(_READ))} file in it")
        for file in files:
            _READ.get(file.suffix, _yaml)(file, cluster, owner, out)
    return out


def _yaml(file: Path, cluster: str | None, owner: str | None, out: Imported) -> None:
    for value, lines in read_documents(file):
        if not isinstance(value, dict):
            raise BadFile(str(file), lines.get(""), None, "not a mapping; a resource has apiVersion, kind, metadata, spec")
        api = str(value.get("apiVersion", ""))
        if api.startswith("backstage.io/"):
            backstage.read(value, _named(file, cluster), out)
        elif api.startswith("kafka.strimzi.io/") or value.get("kind") == "List":
            strimzi.read(value, cluster, out)
        else:
            raise BadFile(str(file), lines.get(".apiVersion", lines.get("")), "apiVersion", _OF_NONE.format(api))


def _json(file: Path, cluster: str | None, owner: str | None, out: Imported) -> None:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BadFile(str(file), None, None, f"more than {MAX_BYTES} bytes")
        value: Any = orjson.loads(file.read_bytes())
    except OSError as e:
        raise BadFile(str(file), None, None, e.strerror or str(e)) from None
    except orjson.JSONDecodeError as e:
        raise BadFile(str(file), e.lineno, None, f"not JSON: {e.msg}") from None
    try:
        if terraform.is_terraform(value):
            terraform.read(value, _named(file, cluster), out, owner)
        elif isinstance(value, dict) and value.get("kind") in _STRIMZI:
            strimzi.read(value, cluster, out)
        else:
            raise BadFile(str(file), 1, None, "neither `terraform show -json` nor a Strimzi resource")
    except RecursionError:
        raise BadFile(str(file), None, None, "modules or lists are nested too deep") from None


_STRIMZI = ("List", "KafkaTopic", "KafkaUser", "KafkaTopicList", "KafkaUserList")
_READ = {".yaml": _yaml, ".yml": _yaml, ".json": _json, ".tfstate": _json}
_OF_NONE = "{!r} is neither Backstage's (backstage.io/…) nor Strimzi's (kafka.strimzi.io/…)"


def _named(file: Path, cluster: str | None) -> str:
    if cluster is None:
        raise BadFile(str(file), None, None, "does not say which Kafka cluster it is about; give --cluster")
    return cluster
