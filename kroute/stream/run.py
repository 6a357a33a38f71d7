"""Runs a worker in this process until SIGTERM or SIGINT: the ``faust worker`` program, without its options."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

import faust
import uvloop

from kroute.settings import Settings
from kroute.stream.app import create_app
from kroute.stream.interface import EngineLike
from kroute.stream.process import die, leave

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class Worker(faust.Worker):
    """Faust's worker, which leaves its loop open: the process ends, and a thread of Faust's that a signal met as it started
    is not told to stop and would use it (seen as a crash in uvloop, or as a process that never ends)."""

    def _shutdown_loop(self) -> None:
        """Nothing: what has to be closed is closed by now."""


def run(settings: Settings, engine: EngineLike | None = None, *, accept_gap: bool = False, verbose: bool = False) -> NoReturn:
    """Create the topics, start, and serve until a signal; then drain, and end the process.

    Raises:
        KrouteError: settings, topics or stored state cannot be used.
    """
    set_up_logging(verbose=verbose)
    uvloop.install()
    app = create_app(settings, engine, accept_gap=accept_gap)
    app.prepare()
    worker = Worker(app, loglevel="INFO", override_logging=False, redirect_stdouts=False, quiet=True)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as e:
        if e.code or app.crash_reason is not None:
            die(f"the worker could not go on: {app.crash_reason!r}")
    leave(0)


def set_up_logging(*, verbose: bool) -> None:
    """One readable line per event on stderr; Faust's and aiokafka's own lines only where they warn."""
    logging.basicConfig(level=logging.INFO, format=FORMAT, stream=sys.stderr, force=True)
    for name in ("faust", "aiokafka", "mode"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("mode.timers").setLevel(logging.INFO if verbose else logging.ERROR)  # a busy second is no news
