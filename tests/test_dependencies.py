"""What kroute is built on: nothing is known against it, as far as an advisory service answers; and its bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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


@contextmanager
def advisories(known: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The URL of a service that answers as OSV does: for a package by name, one advisory or none."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(405)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = known.get(asked["package"]["name"])
            said = json.dumps({"vulns": [found]} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_known_advisory_is_a_finding_and_none_is_a_clean_audit(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(f"orjson==3.9.0 --hash=sha256:{'0' * 64}\nidna==3.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    with advisories({}) as url:
        assert audit(lock, url) == 0
    assert "No known vulnerabilities" in capfd.readouterr().err
    deep = {
        "id": "PYSEC-2024-40", "modified": "2024-03-01T00:00:00Z", "summary": "Deep nesting ends the process.", "aliases": [],
        "affected": [{"package": {"ecosystem": "PyPI", "name": "orjson"}, "ranges": [
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.9.15"}]}]}],
    }  # fmt: skip
    with advisories({"orjson": deep}) as url:
        assert audit(lock, url) == 1
    [found] = [line.split() for line in capfd.readouterr().out.splitlines() if line.startswith("orjson")]
    assert found == ["orjson", "3.9.0", "PYSEC-2024-40", "3.9.15"]


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
