"""How the collector proves who it is: what fits together, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
import yaml

from kroute.collect.config import Loaded, load_config
from kroute.errors import BadFile

OAUTH = {
    "security_protocol": "SASL_SSL", "oauth_token_url": "https://sso.example.com/token", "oauth_client_id": "kroute",
    "oauth_client_secret_file": "secret",
}  # fmt: skip


def load(
    folder: Path, kafka: dict[str, str] | None = None, auth: dict[str, str] | None = None, url: str = "https://c:8083"
) -> Loaded:
    (folder / "secret").write_text("s3cret word\n")
    (folder / "empty").write_text("\n")
    cluster = {
        "name": "prod", "kafka": {"bootstrap": "b:9092", **(kafka or {})},
        "connect": [{"name": "a", "url": url, "auth": auth or {}}],
    }  # fmt: skip
    path = folder / "collect.yaml"
    path.write_text(yaml.safe_dump({"clusters": [cluster]}, sort_keys=False))
    return load_config(path, {})


def test_a_token_s_client_is_read_and_never_shown(tmp_path: Path) -> None:
    loaded = load(tmp_path, OAUTH, {"username": "kroute", "password_file": "secret"})
    kafka = loaded.kafka(0)
    assert kafka.oauth is not None
    assert (kafka.sasl_mechanism, kafka.oauth.client_secret) == ("OAUTHBEARER", "s3cret word")
    for shown in (repr(loaded), repr(kafka), str(loaded.config)):
        assert "s3cret" not in shown


def test_files_stand_beside_the_configuration_and_make_the_tls_of_an_endpoint(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = authority.issue_cert("client")
    (tmp_path / "cert.pem").write_bytes(b"".join(p.bytes() for p in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    loaded = load(tmp_path, {"security_protocol": "SSL", "ssl_cafile": "ca.pem"},
                  {"cafile": "ca.pem", "certfile": "cert.pem", "keyfile": "key.pem"})  # fmt: skip
    assert loaded.kafka(0).ssl_cafile == str(tmp_path / "ca.pem")
    [context] = loaded.contexts.values()
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize(
    ("kafka", "auth", "url", "says"),
    [
        ({"security_protocol": "SASL_SSL"}, {}, "", "clusters[0].kafka.username: is missing; PLAIN needs a user"),
        (
            {"username": "a", "password_file": "secret"},
            {},
            "",
            "kafka.security_protocol: is PLAINTEXT, which uses no credentials",
        ),
        ({**OAUTH, "oauth_client_id": None}, {}, "", "kafka.oauth_token_url: needs oauth_client_id"),
        ({**OAUTH, "oauth_token_url": "http://sso.example.com/t"}, {}, "", "cross the network in the clear"),
        ({**OAUTH, "oauth_token_url": "https://u:s3cret@sso/t"}, {}, "", "kafka.oauth_token_url: holds credentials"),
        ({**OAUTH, "oauth_client_secret_file": "empty"}, {}, "", "oauth_client_secret_file: empty is empty"),
        ({"security_protocol": "SSL", "ssl_cafile": "no.pem"}, {}, "", "kafka.ssl_cafile: no.pem cannot be read"),
        ({}, {"password": "s3cret"}, "", "unknown field 'password'"),
        ({}, {}, "https://u:s3cret@c:8083", "connect[0].url: holds credentials"),
        ({}, {"cafile": "secret"}, "", "connect[0].auth: its files hold no certificate"),
    ],
)
def test_a_mistake_names_the_field_and_no_secret(
    tmp_path: Path, kafka: dict[str, str], auth: dict[str, str], url: str, says: str
) -> None:
    with pytest.raises(BadFile) as told:
        load(tmp_path, {k: v for k, v in kafka.items() if v is not None}, auth, url or "https://c:8083")
    assert says in str(told.value)
    assert "s3cret" not in str(told.value)
