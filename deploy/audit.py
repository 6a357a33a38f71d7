"""Looks up every locked dependency in OSV's advisories (`make audit`). Says loudly when that could not be done.

Exit status: 0 nothing known, 1 something is known against a dependency, 75 NOT AUDITED because the service gave no answer.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

LOCK = Path(__file__).with_name("requirements.lock")
SERVICE = "https://api.osv.dev/v1/query"
NOT_AUDITED = 75
"""EX_TEMPFAIL of sysexits.h: not done, and not a finding."""
ANSWER_S = 8


def unreachable(url: str = SERVICE) -> str | None:
    """Why the service gives no answer; None where it answers, be it with an error of ours."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S):  # noqa: S310  (a fixed https address)
            return None
    except urllib.error.HTTPError as e:
        return f"HTTP {e.code}" if e.code >= 500 else None
    except (urllib.error.URLError, OSError) as e:
        return str(getattr(e, "reason", e))


def audit(lock: Path = LOCK, url: str = SERVICE) -> int:
    """Run pip-audit over a lock file; its findings go to standard output. Returns the exit status."""
    why = unreachable(url)
    if why is not None:
        sys.stderr.write(
            f"NOT AUDITED: the advisory service {url} gives no answer ({why}). "
            f"Nothing is known about the dependencies in {lock.name}; run `make audit` where it can be reached.\n"
        )
        return NOT_AUDITED
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--disable-pip", "--vulnerability-service", "osv",
        "--osv-url", url, "--progress-spinner", "off", "--desc", "off",
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(audit())
