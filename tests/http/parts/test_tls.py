"""TLS contexts and what failed handshakes are called. Handshakes run in memory: no sockets, no clock but OpenSSL's."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from loadgen.errors import ConfigError
from loadgen.http.errors import CATEGORIES, HttpError
from loadgen.http.tls import TlsSettings, context_for, error_from, server_hostname
from loadgen.http.urls import split

HOST = "shop.example"


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(cert: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


class Wire:
    """A client and a server joined in memory."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext, host: str = HOST) -> None:
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname=host)
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)

    def handshake(self) -> ssl.SSLError | None:
        """Both sides' handshakes to their end; what the client met, if it failed."""
        failure = None
        for _ in range(4):
            failure = failure or attempt(self.client.do_handshake)
            attempt(self.server.do_handshake)
        return failure

    def error(self, phase: str = "tls", host: str = HOST) -> HttpError:
        failure = self.handshake() or attempt(lambda: self.client.read(1))
        assert failure is not None, "the handshake went well"
        return error_from(failure, phase, host, self.client)


def attempt(action: Callable[[], object]) -> ssl.SSLError | None:
    try:
        action()
    except ssl.SSLWantReadError:
        return None
    except ssl.SSLError as exc:
        return exc
    return None


def test_a_trusted_server_is_spoken_to_and_told_that_we_speak_http_1_1(ca: trustme.CA, ca_file: str) -> None:
    server = server_context(ca.issue_cert(HOST))
    server.set_alpn_protocols(["h2", "http/1.1"])
    wire = Wire(context_for(TlsSettings(verify=ca_file)), server)

    assert wire.handshake() is None
    assert wire.client.version() == "TLSv1.3"
    assert wire.client.selected_alpn_protocol() == "http/1.1"


def test_certificates_are_verified_unless_somebody_says_otherwise(ca: trustme.CA) -> None:
    server = server_context(ca.issue_cert("another.example"))

    assert context_for(TlsSettings()).verify_mode is ssl.CERT_REQUIRED
    assert context_for(TlsSettings()).check_hostname
    assert Wire(context_for(TlsSettings(verify=False)), server).handshake() is None


def test_equal_settings_share_a_context_and_the_server_name_is_no_part_of_it(ca_file: str) -> None:
    one = context_for(TlsSettings(verify=ca_file, server_name="a"))

    assert context_for(TlsSettings(verify=ca_file, server_name="b")) is one
    assert context_for(TlsSettings(verify=ca_file, minimum_version="1.3")) is not one


def test_a_directory_of_ca_files_is_trusted_without_openssl_s_hashed_names_too(
    ca: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    os.link(ca_file, plain / "our-ca.CRT")
    (plain / "README").write_text("not a certificate")
    server = server_context(ca.issue_cert(HOST))

    assert Wire(context_for(TlsSettings(verify=str(plain))), server).handshake() is None

    hashed = tmp_path / "hashed"
    hashed.mkdir()
    os.link(ca_file, hashed / "0a1b2c3d.0")  # read by OpenSSL when it looks for that hash, not before

    assert context_for(TlsSettings(verify=str(hashed))).verify_mode is ssl.CERT_REQUIRED


def test_a_client_certificate_is_shown_to_a_server_that_asks(ca: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    ours = ca.issue_cert("client@example.org")
    both, cert, key = (str(tmp_path / name) for name in ("both.pem", "cert.pem", "key.pem"))
    ours.private_key_and_cert_chain_pem.write_to_path(both)
    ours.cert_chain_pems[0].write_to_path(cert)
    ours.private_key_pem.write_to_path(key)
    server = server_context(ca.issue_cert(HOST))
    server.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(server)

    for setting in (both, (cert, key)):
        wire = Wire(context_for(TlsSettings(verify=ca_file, cert=setting)), server)

        assert wire.handshake() is None
        assert wire.server.getpeercert() is not None


@pytest.mark.parametrize("tls_1_2_only", [False, True])
def test_a_server_that_wants_a_client_certificate_is_told_from_one_without_a_cipher(
    ca: trustme.CA, ca_file: str, tls_1_2_only: bool
) -> None:
    """TLS 1.3 says so after the handshake; TLS 1.2 sends the same alert as for "no cipher in common"."""
    server = server_context(ca.issue_cert(HOST))
    server.verify_mode = ssl.CERT_REQUIRED
    if tls_1_2_only:
        server.maximum_version = ssl.TLSVersion.TLSv1_2

    error = Wire(context_for(TlsSettings(verify=ca_file)), server).error("tls" if tls_1_2_only else "wait")

    assert (error.category, error.fault) == ("tls_client_cert", "scenario")
    assert "wants a client certificate" in str(error)
    assert "cert=" in error.render()


def test_a_client_certificate_of_an_authority_the_server_does_not_know_is_the_scenario_s_fault(
    ca: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "stranger.pem")
    trustme.CA().issue_cert("stranger@example.org").private_key_and_cert_chain_pem.write_to_path(path)
    server = server_context(ca.issue_cert(HOST))
    server.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(server)

    error = Wire(context_for(TlsSettings(verify=ca_file, cert=path)), server).error("wait")

    assert error.category == "tls_client_cert"
    assert "refused our client certificate" in str(error)


def test_an_expired_certificate_is_named_with_its_date_and_what_to_do(ca: trustme.CA, ca_file: str) -> None:
    server = server_context(ca.issue_cert(HOST, not_after=datetime(2024, 11, 2)))

    error = Wire(context_for(TlsSettings(verify=ca_file)), server).error()

    assert error.category == "tls_expired"
    assert error.render() == (
        "error[LG203]: TLS: certificate has expired on 2024-11-02\n  Use verify=False in the client, or fix the target."
    )


def test_a_certificate_of_the_future_is_named_with_its_date(ca: trustme.CA, ca_file: str) -> None:
    cert = ca.issue_cert(HOST, not_before=datetime(2099, 1, 2), not_after=datetime(2099, 5, 6))

    error = Wire(context_for(TlsSettings(verify=ca_file)), server_context(cert)).error()

    assert error.category == "tls_not_yet_valid"
    assert "only from 2099-01-02" in str(error)
    assert "clock" in error.render()


@pytest.mark.parametrize("host", ["other.example", "10.0.0.1"])
def test_a_certificate_for_another_name_is_named_with_both(ca: trustme.CA, ca_file: str, host: str) -> None:
    names = [HOST, "a.example", "127.0.0.1", "d.example", "e.example"]

    error = Wire(context_for(TlsSettings(verify=ca_file)), server_context(ca.issue_cert(*names)), host).error(host=host)

    assert error.category == "tls_wrong_host"
    assert f"not for {host}" in str(error)
    assert "and 2 more" in str(error)


def test_a_certificate_of_an_unknown_authority_is_named_with_its_issuer(ca: trustme.CA, ca_file: str) -> None:
    stranger = trustme.CA(organization_name="Strangers Ltd")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.create_child_ca().issue_cert(HOST).configure_cert(server)

    error = Wire(context_for(TlsSettings(verify=ca_file)), server).error()

    assert error.category == "tls_unknown_ca"
    assert "Strangers Ltd" in str(error)
    assert "verify='/path/ca.pem'" in error.render()


def test_a_self_signed_certificate_is_called_so_and_trusted_once_it_is_given(ca: trustme.CA, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_self_signed(cert, key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)

    error = Wire(context_for(TlsSettings()), server).error()

    assert error.category == "tls_self_signed"
    assert Wire(context_for(TlsSettings(verify=str(cert))), server).handshake() is None


def test_a_server_too_old_for_us_shares_no_version(ca: trustme.CA, ca_file: str) -> None:
    server = server_context(ca.issue_cert(HOST))
    server.maximum_version = ssl.TLSVersion.TLSv1_2

    error = Wire(context_for(TlsSettings(verify=ca_file, minimum_version="1.3")), server).error()

    assert error.category == "tls_version"


def test_a_server_with_other_ciphers_shares_none(ca: trustme.CA, ca_file: str) -> None:
    server = server_context(ca.issue_cert(HOST))
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("PSK")  # which needs a secret that we do not have

    assert Wire(context_for(TlsSettings(verify=ca_file)), server).error().category == "tls_no_cipher"


def test_a_port_that_answers_in_plain_http_does_not_speak_tls(ca_file: str) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context_for(TlsSettings(verify=ca_file)).wrap_bio(incoming, outgoing, server_hostname=HOST)
    attempt(client.do_handshake)
    incoming.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    failure = attempt(client.do_handshake)

    assert failure is not None
    assert error_from(failure, "tls", HOST, client).category == "tls_not_tls"


@pytest.mark.parametrize(
    ("phase", "category"), [("tls", "tls_closed"), ("wait", "closed"), ("headers", "truncated"), ("body", "truncated")]
)
def test_an_end_of_the_stream_is_called_by_where_it_came(ca_file: str, phase: str, category: str) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context_for(TlsSettings(verify=ca_file)).wrap_bio(incoming, outgoing, server_hostname=HOST)
    attempt(client.do_handshake)
    incoming.write_eof()

    failure = attempt(client.do_handshake)

    assert failure is not None
    error = error_from(failure, phase, HOST, client)
    assert (error.category, error.phase) == (category, phase)


def test_broken_data_after_the_handshake_is_an_error_of_its_own(ca: trustme.CA, ca_file: str) -> None:
    wire = Wire(context_for(TlsSettings(verify=ca_file)), server_context(ca.issue_cert(HOST)))
    assert wire.handshake() is None
    wire.to_client.write(b"\x17\x03\x03\x00\x20" + bytes(32))

    assert wire.error("body").category == "tls_error"


@pytest.mark.parametrize(
    ("reason", "category"),
    [
        ("TLSV1_ALERT_PROTOCOL_VERSION", "tls_version"),
        ("UNSUPPORTED_PROTOCOL", "tls_version"),
        ("TLSV1_ALERT_INSUFFICIENT_SECURITY", "tls_no_cipher"),
        ("DH_KEY_TOO_SMALL", "tls_no_cipher"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "tls_client_cert"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "tls_client_cert"),
        ("TLSV1_UNRECOGNIZED_NAME", "tls_wrong_host"),
        ("PACKET_LENGTH_TOO_LONG", "tls_not_tls"),
        ("TLSV1_ALERT_INTERNAL_ERROR", "tls_handshake"),
        ("SOMETHING_NEW", "tls_handshake"),
        (None, "tls_handshake"),
    ],
)
def test_openssl_s_reasons_have_categories(reason: str | None, category: str) -> None:
    failure = ssl.SSLError(1, "text")
    failure.reason = reason  # type: ignore[assignment]

    error = error_from(failure)

    assert error.category == category
    assert error.category in CATEGORIES
    assert str(error).startswith("TLS: ")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: TlsSettings(verify=5),  # type: ignore[arg-type]
        lambda path: TlsSettings(minimum_version="1.1"),
        lambda path: context_for(TlsSettings(verify=str(path / "none.pem"))),
        lambda path: context_for(TlsSettings(verify=str(path / "text.pem"))),
        lambda path: context_for(TlsSettings(verify=str(path / "empty"))),
        lambda path: context_for(TlsSettings(cert=str(path / "none.pem"))),
        lambda path: context_for(TlsSettings(cert=str(path / "text.pem"))),
        lambda path: context_for(TlsSettings(cert=str(path / "locked.pem"))),
    ],
    ids=["verify", "version", "no CA file", "no CA", "no CA in directory", "no file", "no certificate", "locked key"],
)
def test_settings_that_cannot_work_are_refused_at_once_by_name(make: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("hello")
    (tmp_path / "empty").mkdir()
    make_self_signed(tmp_path / "locked.pem", tmp_path / "locked.pem", password=b"pw")

    with pytest.raises(ConfigError, match=r"verify=5|1\.1|none\.pem|text\.pem|empty|locked\.pem"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("url", "name"), [("https://h.example./", "h.example"), ("https://[fe80::1%25lo]/", "fe80::1"), ("https://h/", "h")]
)
def test_the_name_to_expect_is_that_of_the_url_unless_another_is_given(url: str, name: str) -> None:
    target, _, _ = split(url)

    assert server_hostname(TlsSettings(), target) == name
    assert server_hostname(TlsSettings(server_name="other"), target) == "other"


def make_self_signed(cert: Path, key: Path, password: bytes | None = None) -> None:
    """A certificate signed by its own key, which trustme does not make."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(
            name, name, secret.public_key(), x509.random_serial_number(), now, now + timedelta(days=9)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.write_bytes(secret.private_bytes(pem, pkcs8, lock))
    with cert.open("ab") as file:
        file.write(signed.public_bytes(pem))
