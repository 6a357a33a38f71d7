"""From a clean checkout to the first routed alert, downloads apart: ``python tests/bench/bench_first_alert.py``.

Clones the repository, fetches packages and jars beforehand (not measured), then measures ``make setup`` without a
package index, and ``kroute up`` until the first alert is on the screen. The aim is under two minutes; ends with status 1
when it takes longer. Ctrl-C stops what was started, and nothing may be left running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
AIM_S = 120
LIMIT_S = 300


def run(*command: str, cwd: Path, **env: str) -> None:
    """Run a command to its end; its output is only shown when it fails."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def first_alert(clone: Path, out: Path) -> float:
    """Seconds from ``kroute up`` to its first alert; stops it then."""
    env = {k: v for k, v in os.environ.items() if k not in ("KROUTE_BOOTSTRAP", "PYTHONPATH")} | {"COLUMNS": "120"}
    began = time.monotonic()
    with out.open("wb") as file:
        up = subprocess.Popen(
            [clone / ".venv/bin/kroute", "up"], cwd=clone, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        while " opened " not in out.read_text(encoding="utf-8", errors="replace"):
            if up.poll() is not None or time.monotonic() - began > LIMIT_S:
                sys.exit(f"no alert within {LIMIT_S} s:\n{out.read_text(encoding='utf-8', errors='replace')}")
            time.sleep(0.1)
        return time.monotonic() - began
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(60)
        except subprocess.TimeoutExpired:
            up.kill()


def main() -> None:
    """Run and print one line per figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clone, wheels = folder / "kroute", folder / "wheels"
        run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone), cwd=folder)
        lock = "deploy/requirements.lock"
        run(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "-r", lock, "-d", str(wheels), cwd=clone)
        run(sys.executable, "-c", "from kroute.local.artefacts import resolve; resolve()", cwd=ROOT, PYTHONPATH=str(ROOT))
        began = time.monotonic()
        run("make", "setup", f"PYTHON={sys.executable}", cwd=clone, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels))
        setup = time.monotonic() - began
        print(f"make setup            {setup:8.1f} s   (packages at hand)", flush=True)
        alert = first_alert(clone, folder / "up.txt")
        print(f"kroute up, to alert   {alert:8.1f} s   (20 s of it are healthy, to have something to compare with)")
        print(f"in all                {setup + alert:8.1f} s")
    if setup + alert > AIM_S:
        sys.exit(f"the aim is {AIM_S} s")


if __name__ == "__main__":
    main()
