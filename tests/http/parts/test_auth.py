"""Values for the Authorization header."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Authorization

from loadgen.http.auth import authorization, basic, bearer


@given(st.text(st.characters(codec="utf-8", exclude_characters=":")), st.text(st.characters(codec="utf-8")))
def test_a_server_reads_back_the_name_and_the_password(user: str, password: str) -> None:
    read = Authorization.from_header(basic(user, password))

    assert read is not None
    assert (read.username, read.password) == (user, password)


def test_a_bearer_token_is_sent_as_it_is() -> None:
    assert bearer("abc.DEF-_~+/==") == "Bearer abc.DEF-_~+/=="


@pytest.mark.parametrize(
    ("auth", "value"),
    [
        (("user", "pw"), "Basic dXNlcjpwdw=="),
        (["user", b"pw"], "Basic dXNlcjpwdw=="),
        (SimpleNamespace(username="user", password="pw"), "Basic dXNlcjpwdw=="),
        ("Digest x=1", "Digest x=1"),
        (bearer("t"), "Bearer t"),
    ],
)
def test_every_form_of_auth_becomes_a_header_value(auth: object, value: str) -> None:
    assert authorization(auth) == value


@pytest.mark.parametrize("auth", [5, ("only one",), ("a", "b", "c"), None, {"user": "x"}])
def test_anything_else_is_refused(auth: object) -> None:
    with pytest.raises(TypeError, match="auth="):
        authorization(auth)


@pytest.mark.parametrize("make", [lambda: bearer("se cret\r\nX: y"), lambda: authorization("secret\r\nX: y")])
def test_a_line_end_cannot_be_smuggled_in_and_the_secret_is_not_shown(make: object) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*secret)"):
        make()  # type: ignore[operator]


def test_a_name_with_a_colon_is_refused_because_the_server_would_read_another_name() -> None:
    with pytest.raises(ValueError, match="colon"):
        basic("a:b", "c")
