"""A broker that lets nobody in unproved and nobody do what no ACL allows: four listeners, one per way of proving it.

Certificates come from an authority made for the run, tokens from an endpoint that the test serves; their key stands in a
JWKS file that the broker validates with (``OAuthBearerValidatorCallbackHandler``, as in production).
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import jwt
import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from kroute.local.artefacts import resolve
from kroute.local.broker import _PROPERTIES, new_cluster_id, replication, write_properties
from kroute.local.process import Child, await_ready, free_ports, run
from kroute.rights.model import protocol_name

HOST = "127.0.0.1"
ADMIN = "admin"
ISSUER = "https://tokens.test"
AUDIENCE = "kafka"
MECHANISMS = {"plain": "PLAIN", "scram": "SCRAM-SHA-512", "oauth": "OAUTHBEARER"}
REAUTH_MS = 30_000
"""Connections with a token are closed by the broker this long after they were made, or when the token ends."""


class TokenEndpoint:
    """RFC 6749's client-credentials grant on loopback, over TLS. ``asked``: client ids in the order they were served."""

    def __init__(self, authority: trustme.CA, clients: dict[str, str], life_s: float = 16.0) -> None:
        self.clients = clients
        self.life_s = life_s
        self.asked: list[str] = []
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint._answer(self, parse_qs(body))

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://{HOST}:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def jwks(self) -> str:
        """The public key, as brokers read it."""
        numbers = self.key.public_key().public_numbers()

        def b64(n: int) -> str:
            return base64.urlsafe_b64encode(n.to_bytes((n.bit_length() + 7) // 8, "big")).decode().rstrip("=")

        return json.dumps(
            {"keys": [{"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": b64(numbers.n), "e": b64(numbers.e)}]}
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler, form: dict[str, list[str]]) -> None:
        login = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        client, secret = (unquote_plus(part) for part in login.split(":", 1))
        if form.get("grant_type") != ["client_credentials"] or self.clients.get(client) != secret:
            self._send(request, 401, {"error": "invalid_client", "error_description": "no such client, or another secret"})
            return
        self.asked.append(client)
        now = time.time()
        claims = {"sub": client, "iss": ISSUER, "aud": AUDIENCE, "iat": int(now) - 1, "exp": now + self.life_s, "scope": "kafka"}
        token = jwt.encode(claims, self.key, "RS256", {"kid": "k1"})
        self._send(request, 200, {"access_token": token, "token_type": "Bearer", "expires_in": int(self.life_s)})

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


class Secured:
    """One broker with an authorizer and without a plaintext listener. ``users``: name → secret, the same everywhere."""

    def __init__(self, workdir: Path, users: dict[str, str]) -> None:
        self.workdir = workdir
        self.users = {ADMIN: "Admin's secret, of no concern", **users}
        self.authority = trustme.CA()
        self.cafile = workdir / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.cafile))
        self.tokens = TokenEndpoint(self.authority, users)
        self.ports = dict(zip(("controller", "inside", "plain", "scram", "oauth", "mtls"), free_ports(6), strict=True))
        self._child: Child | None = None

    def start(self) -> Secured:
        """Format, start, and give the SCRAM users their credentials."""
        artefacts = resolve()
        home = self.workdir / "broker"
        home.mkdir()
        server = self.authority.issue_cert(HOST)
        chain = home / "server.pem"
        chain.write_bytes(_pkcs8(server.private_key_pem.bytes()) + b"".join(p.bytes() for p in server.cert_chain_pems))
        jwks = home / "jwks.json"
        jwks.write_text(self.tokens.jwks())
        write_properties(home / "server.properties", self._properties(home, chain, jwks))
        run(
            "format", artefacts.command("kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c",
            str(home / "server.properties"), heap_mb=64), home / "format.log", 60,
        )  # fmt: skip
        argv = artefacts.command(
            "kafka.Kafka", str(home / "server.properties"), heap_mb=320,
            options=["-Dkroute.log=info", f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks.as_uri()}"],
        )  # fmt: skip
        self._child = Child("secured broker", argv, home / "broker.log")
        self._child.start()
        self.admin = AdminClient({**self.client("plain", ADMIN), "reconnect.backoff.max.ms": 500})
        await_ready([self._child], self._answers, 90, "start")
        changes: list[Any] = [
            UserScramCredentialUpsertion(u, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), secret.encode())
            for u, secret in self.users.items()
        ]
        for future in self.admin.alter_user_scram_credentials(changes).values():
            future.result(30)
        return self

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(3.0)
        self.tokens.close()

    def bootstrap(self, how: str) -> str:
        return f"{HOST}:{self.ports[how]}"

    def client(self, how: str, user: str) -> dict[str, str]:
        """Configuration of a test's own client (confluent-kafka); by a password, not by a token."""
        return {
            "bootstrap.servers": self.bootstrap(how), "security.protocol": "sasl_ssl", "sasl.mechanism": MECHANISMS[how],
            "sasl.username": user, "sasl.password": self.users[user], "ssl.ca.location": str(self.cafile), "log_level": "0",
        }  # fmt: skip

    def env(self, how: str, user: str) -> dict[str, str]:
        """Environment of a kroute process that proves to be ``user`` in this way; its secret stands in a file."""
        secret = self.workdir / f"secret-{user}"
        secret.write_text(self.users[user] + "\n")
        env = {
            "KROUTE_BOOTSTRAP": self.bootstrap(how),
            "KROUTE_SECURITY_PROTOCOL": "SASL_SSL",
            "KROUTE_SASL_MECHANISM": MECHANISMS[how],
            "KROUTE_SSL_CAFILE": str(self.cafile),
        }
        if how == "oauth":
            return env | {
                "KROUTE_OAUTH_TOKEN_URL": self.tokens.url,
                "KROUTE_OAUTH_CLIENT_ID": user,
                "KROUTE_OAUTH_CLIENT_SECRET_FILE": str(secret),
                "KROUTE_OAUTH_CAFILE": str(self.cafile),
                "KROUTE_OAUTH_SCOPE": "kafka",
            }
        return env | {"KROUTE_USERNAME": user, "KROUTE_PASSWORD_FILE": str(secret)}

    def collect(self, how: str, user: str) -> dict[str, str]:
        """The ``kafka`` part of a collect.yaml, by the same way."""
        self.env(how, user)
        access = {
            "bootstrap": self.bootstrap(how), "security_protocol": "SASL_SSL", "sasl_mechanism": MECHANISMS[how],
            "ssl_cafile": str(self.cafile),
        }  # fmt: skip
        secret = str(self.workdir / f"secret-{user}")
        if how == "oauth":
            return access | {
                "oauth_token_url": self.tokens.url, "oauth_client_id": user, "oauth_client_secret_file": secret,
                "oauth_cafile": str(self.cafile),
            }  # fmt: skip
        return access | {"username": user, "password_file": secret}

    def certificate(self, name: str) -> tuple[Path, Path]:
        """A client's certificate and key, of this authority."""
        made = self.authority.issue_cert("client.test", common_name=name)
        cert, key = self.workdir / f"{name}.pem", self.workdir / f"{name}.key"
        cert.write_bytes(b"".join(p.bytes() for p in made.cert_chain_pems))
        made.private_key_pem.write_to_path(str(key))
        return cert, key

    def allow(self, bindings: Iterable[Any]) -> None:
        """Put ACLs in force."""
        for future in self.admin.create_acls(list(bindings)).values():
            future.result(30)

    def deny(self, bindings: Iterable[Any]) -> None:
        """Take them away again."""
        for future in self.admin.delete_acls([_filter(b) for b in bindings]).values():
            future.result(30)

    def _answers(self) -> bool:
        try:
            return bool(self.admin.list_topics(timeout=2).brokers)
        except Exception:
            return False

    def _properties(self, home: Path, chain: Path, jwks: Path) -> dict[str, str]:
        names = [n for n in self.ports if n != "controller"]
        listeners = {n: f"{n.upper()}://{HOST}:{p}" for n, p in self.ports.items()}
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        known = " ".join(f'user_{u}="{s}"' for u, s in self.users.items())
        own = f'{plain} username="{ADMIN}" password="{self.users[ADMIN]}" {known};'
        bearer = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
        validator = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
        oauth = "listener.name.oauth.oauthbearer"
        return {
            **_PROPERTIES,
            **replication(1),
            "node.id": "1",
            "broker.rack": "rack-a",
            "controller.quorum.voters": f"1@{HOST}:{self.ports['controller']}",
            "listeners": ",".join(listeners.values()),
            "advertised.listeners": ",".join(listeners[n] for n in names),
            "listener.security.protocol.map": ",".join(
                f"{n.upper()}:{'SSL' if n == 'mtls' else 'SASL_SSL'}" for n in self.ports
            ),
            "inter.broker.listener.name": "INSIDE",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "log.dirs": str(home / "data"),
            "auto.create.topics.enable": "false",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{ADMIN}",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(chain),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.cafile),
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.mtls.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            **{f"listener.name.{n}.sasl.enabled.mechanisms": "PLAIN" for n in ("controller", "inside", "plain")},
            **{f"listener.name.{n}.plain.sasl.jaas.config": own for n in ("controller", "inside", "plain")},
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config":
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{oauth}.sasl.jaas.config": bearer,
            f"{oauth}.sasl.server.callback.handler.class": validator,
            f"{oauth}.sasl.oauthbearer.jwks.endpoint.url": jwks.as_uri(),
            f"{oauth}.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{oauth}.sasl.oauthbearer.expected.issuer": ISSUER,
            f"{oauth}.connections.max.reauth.ms": str(REAUTH_MS),
        }  # fmt: skip


def _pkcs8(pem: bytes) -> bytes:
    """The key as Kafka reads it."""
    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def binding(row: dict[str, str]) -> Any:
    """An ACL as ``kroute acls --format json`` prints it, as confluent-kafka wants it."""
    kind = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER,
            "transactional-id": ResourceType.TRANSACTIONAL_ID}[row["resource"]]  # fmt: skip
    return AclBinding(
        kind, row["name"], ResourcePatternType[row["pattern"].upper()], row["principal"], row["host"],
        AclOperation[protocol_name(row["operation"])], AclPermissionType.ALLOW,
    )  # fmt: skip


def _filter(b: Any) -> Any:
    return AclBindingFilter(b.restype, b.name, b.resource_pattern_type, b.principal, b.host, b.operation, b.permission_type)
