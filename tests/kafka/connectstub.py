"""Connect's REST interface over TLS with basic authentication, and one sink whose task has failed."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

HOST = "127.0.0.1"
CONNECTORS = {
    "orders": {
        "status": {
            "name": "orders", "type": "sink", "connector": {"state": "RUNNING", "worker_id": "w1:8083"},
            "tasks": [{
                "id": 0, "state": "FAILED", "worker_id": "w1:8083",
                "trace": "org.apache.kafka.common.config.ConfigException: Missing required configuration connection.url",
            }],
        },
        "info": {"name": "orders", "type": "sink", "config": {"connector.class": "io.Sink", "topics": "orders"}},
    }
}  # fmt: skip


class ConnectStub:
    """``refused``: requests without the right credentials."""

    username, password = "kroute", "Connect's s3cret"

    def __init__(self, authority: trustme.CA) -> None:
        self.refused = 0
        right = "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                allowed = self.headers.get("Authorization") == right
                stub.refused += not allowed
                body = json.dumps(CONNECTORS if allowed else {"message": "who are you?"}).encode()
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://{HOST}:{self._server.server_port}"

    def __enter__(self) -> ConnectStub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
