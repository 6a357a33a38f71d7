"""Imported rows as ownership files: one a team, in the form that people go on editing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from kroute.admin.ownership.folder import PLURALS, TEAM_FIELDS

UNOWNED = "unowned"
_ORDER = ("team", "page", "ticket", "notify", "cluster", *PLURALS)


def files(rows: Mapping[str, Mapping[str, Any]], cluster: str | None) -> dict[str, str]:
    """File name → text. A row goes to its owner's file, else its service's owner's, else ``unowned.yaml``.

    ``cluster``: stands once at the top of each file; rows of others name theirs.
    """
    owners = {(r["cluster"], r["name"]): r.get("owner") for r in rows.values() if r["kind"] == "service"}
    documents: dict[str, dict[str, Any]] = {}
    headings = {kind: heading for heading, kind in PLURALS.items()}
    for key in sorted(rows):
        row = dict(rows[key])
        kind, where, name = row.pop("kind"), row.pop("cluster"), row.pop("name")
        team = name if kind == "team" else row.get("owner") or owners.get((where, row.get("service")))
        document = documents.setdefault(team or UNOWNED, {"team": team} if team else {})
        if kind == "team":
            document.update({k: v for k, v in row.items() if k in TEAM_FIELDS})
            continue
        if row.get("owner") == team:
            row.pop("owner", None)
        if kind != "cluster" or where != name:
            if cluster is not None and where == cluster:
                document["cluster"] = cluster
            else:
                row["cluster"] = where
        slo = row.pop("slo", None)
        document.setdefault(headings[kind], {})[name] = {**row, **({"slo": slo} if slo else {})}
    return {f"{_file(team)}.yaml": _dump(document) for team, document in sorted(documents.items())}


def _file(team: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", team).lstrip(".") or UNOWNED


def _dump(document: Mapping[str, Any]) -> str:
    known = [k for k in _ORDER if k in document]
    ordered = {k: document[k] for k in (*known, *(k for k in document if k not in known))}
    return str(yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=120))
