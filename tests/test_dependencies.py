"""What kroute is built on: nothing is known against it, as far as an advisory service answers; and its bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.audit import NOT_AUDITED, audit, unreachable

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_nothing_is_known_against_a_locked_dependency() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.audit"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode == NOT_AUDITED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_advisory_service_that_gives_no_answer_is_no_clean_audit(capfd: pytest.CaptureFixture[str]) -> None:
    nowhere = "http://127.0.0.1:1/"
    assert unreachable(nowhere)
    assert audit(url=nowhere) == NOT_AUDITED
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("NOT AUDITED: the advisory service http://127.0.0.1:1/ gives no answer (")


def test_the_bill_of_materials_lists_what_the_image_installs(tmp_path: Path) -> None:
    recipe = re.search(r"^sbom:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe is not None
    [line] = [x.strip() for x in recipe.group(1).splitlines() if "cyclonedx-py" in x]
    words = [
        w.replace("$(BIN)/cyclonedx-py", "cyclonedx_py").replace("$(SBOM)", str(tmp_path / "sbom.json")) for w in line.split()
    ]
    subprocess.run([sys.executable, "-W", "ignore", "-m", *words], cwd=ROOT, check=True, capture_output=True, timeout=120)
    bill = json.loads((tmp_path / "sbom.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "kroute"
    listed = {f"{c['name']}=={c['version']}" for c in bill["components"]}
    lock = (ROOT / "deploy/docker/requirements.lock").read_text(encoding="utf-8")
    assert listed == set(re.findall(r"^([\w.-]+==[^\s;\\]+)", lock, re.MULTILINE))
    assert all(c["purl"].startswith("pkg:pypi/") for c in bill["components"])
    assert all(any(r.get("hashes") for r in c["externalReferences"]) for c in bill["components"])
