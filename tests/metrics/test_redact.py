"""Nothing secret leaves a worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.metrics.redact import MAX_TEXT, redact

SECRET = "s3cr3t-Va1ue"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"proxy-authorization: Basic {SECRET}",
        f"{{'Authorization': 'Bearer {SECRET}', 'Accept': '*/*'}}",
        f'{{"authorization": "{SECRET}"}}',
        f"Cookie: sid={SECRET}; theme=dark",
        f"Set-Cookie: sid={SECRET}; HttpOnly",
        f"X-Api-Key: {SECRET}",
        f"GET /login?token={SECRET}&page=2",
        f"GET /a?page=2&api_key={SECRET}",
        f"GET /a?key={SECRET}",
        f"GET /a?access_token={SECRET}#top",
        f"https://user:{SECRET}@example.com/a",
        f"https://{SECRET}@example.com/a",
        f'{{"password": "{SECRET}", "name": "bob"}}',
        f'{{\\"password\\": \\"{SECRET}\\"}}',
        f"password={SECRET}",
        f"db_password = '{SECRET} with spaces'",
        f"client_secret: {SECRET}",
        f"sent Bearer {SECRET} to the server",
        f"b'Authorization: Bearer {SECRET}\\r\\nHost: x'",
        f"refresh-token={SECRET},x=1",
        f"jwt={SECRET}",
    ],
)
def test_secrets_are_hidden_wherever_they_usually_stand(text: str) -> None:
    assert SECRET not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "HTTP 503 Service Unavailable",
        "GET /item/7?page=2&sort=name",
        "connection reset by 10.0.0.7:443",
        "https://example.com/path@2x.png",
        "unexpected token < in JSON at position 0",
        "KeyError: 'id'",
    ],
)
def test_harmless_texts_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_what_stands_beside_a_secret_stays() -> None:
    assert redact(f"GET /a?token={SECRET}&page=2") == "GET /a?token=***&page=2"
    assert redact(f"https://u:{SECRET}@example.com/a") == "https://***@example.com/a"


@given(
    st.text(max_size=30),
    st.sampled_from(["password", "api_key", "token", "client-secret", "sessionid"]),
    st.text("abcdefXYZ0123456789-_.~", min_size=8, max_size=40),
)
def test_a_secret_query_value_never_survives(before: str, key: str, secret: str) -> None:
    clean = redact(f"{before} GET /x?{key}={secret}&b=1")

    assert secret not in clean.removeprefix(before)


@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)

    assert redact(once) == once


def test_what_is_not_looked_at_is_cut_off() -> None:
    assert len(redact("a" * 10 * MAX_TEXT)) == MAX_TEXT
