"""Settings of a secured Kafka: what fits together, and what a mistake says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kroute.errors import ConfigError
from kroute.settings import load

SASL = {"KROUTE_SECURITY_PROTOCOL": "SASL_SSL", "KROUTE_USERNAME": "kroute", "KROUTE_PASSWORD": "s3cret word"}
TOKEN = {
    "KROUTE_SECURITY_PROTOCOL": "SASL_SSL", "KROUTE_OAUTH_TOKEN_URL": "https://sso.example.com/token",
    "KROUTE_OAUTH_CLIENT_ID": "kroute", "KROUTE_OAUTH_CLIENT_SECRET": "s3cret word",
}  # fmt: skip


def test_the_mechanism_follows_the_credentials_where_it_is_not_said() -> None:
    assert load(SASL).kafka.sasl_mechanism == "PLAIN"
    assert load(SASL | {"KROUTE_SASL_MECHANISM": "SCRAM-SHA-512"}).kafka.sasl_mechanism == "SCRAM-SHA-512"
    assert load(TOKEN).kafka.sasl_mechanism == "OAUTHBEARER"


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    env = {k: v for k, v in SASL.items() if k != "KROUTE_PASSWORD"} | {"KROUTE_PASSWORD_FILE": str(tmp_path / "secret")}
    assert load(env).kafka.password == "from a file"


@pytest.mark.parametrize("env", [SASL, TOKEN])
def test_no_secret_is_shown(env: dict[str, str]) -> None:
    settings = load(env | {"KROUTE_WEB_BEARER": "tok en s3cret", "KROUTE_WEB_USERNAME": "a", "KROUTE_WEB_PASSWORD": "pw s3cret"})
    for shown in (repr(settings), str(settings.kafka), f"{settings.web}"):
        assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"KROUTE_SECURITY_PROTOCOL": "SASL_SSL"}, "KROUTE_USERNAME is missing; PLAIN needs a user and a password"),
        ({"KROUTE_SECURITY_PROTOCOL": "SASL_SSL", "KROUTE_USERNAME": "a"}, "KROUTE_PASSWORD is missing"),
        ({"KROUTE_SECURITY_PROTOCOL": "SASL_SSL", "KROUTE_SASL_MECHANISM": "OAUTHBEARER"}, "KROUTE_OAUTH_TOKEN_URL is missing"),
        ({"KROUTE_SASL_MECHANISM": "GSSAPI"}, "KROUTE_SASL_MECHANISM is 'GSSAPI'; it must be one of"),
        ({k: v for k, v in SASL.items() if "PROTO" not in k}, "KROUTE_SECURITY_PROTOCOL is PLAINTEXT, which uses no credentials"),
        (
            {k: v for k, v in TOKEN.items() if "PROTO" not in k},
            "KROUTE_SECURITY_PROTOCOL is PLAINTEXT, which uses no credentials",
        ),
        ({k: v for k, v in TOKEN.items() if "SECRET" not in k}, "KROUTE_OAUTH_CLIENT_SECRET is missing"),
        ({k: v for k, v in TOKEN.items() if "_ID" not in k}, "KROUTE_OAUTH_CLIENT_ID is missing"),
        (TOKEN | {"KROUTE_OAUTH_TOKEN_URL": "http://sso.example.com/token"}, "KROUTE_OAUTH_TOKEN_URL is http"),
        (SASL | {"KROUTE_PASSWORD": ""}, "KROUTE_PASSWORD is empty"),
        (SASL | {"KROUTE_PASSWORD": "\udcc2"}, "KROUTE_PASSWORD is not UTF-8"),
        (SASL | {"KROUTE_PASSWORD_FILE": "/no/such"}, "KROUTE_PASSWORD_FILE names /no/such, which cannot be read"),
        (SASL | {"KROUTE_SSL_CAFILE": "/no/such"}, "KROUTE_SSL_CAFILE names /no/such, which cannot be read"),
    ],
)
def test_a_mistake_names_the_setting(env: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as told:
        load(env)
    assert says in str(told.value)
    assert "s3cret" not in str(told.value)
