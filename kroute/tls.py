"""TLS from files in PEM: of a client that may have a certificate of its own, and of a server."""

from __future__ import annotations

import ssl
from pathlib import Path


def client(cafile: str | Path | None, certfile: str | Path | None = None, keyfile: str | Path | None = None) -> ssl.SSLContext:
    """A client's side: it checks the other's name and authority (the system's without ``cafile``).

    Raises:
        OSError, ValueError: a file that holds no certificate or key, or a key that does not fit or has a passphrase.
    """
    context = ssl.create_default_context(cafile=cafile)
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile, password=_none)
    return context


def server(certfile: str | Path, keyfile: str | Path | None = None) -> ssl.SSLContext:
    """A server's side; raises as ``client``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certfile, keyfile, password=_none)
    return context


def _none() -> str:
    """A key with a passphrase would make OpenSSL ask at a terminal that nobody sits at."""
    raise ValueError("the key has a passphrase; give one without, in a file that only this process can read")
