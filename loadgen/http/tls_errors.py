"""From what OpenSSL says to a category and a sentence that says what to do. No socket is touched.

OpenSSL names the reason but not the particulars; those (dates, names) are read from the certificate
chain the server sent, which stays readable after a failed handshake.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from loadgen.http.errors import Closed, HttpError, TlsError, Truncated

_FIX_OR_SKIP = "Use verify=False in the client, or fix the target."
_TRUST = "Give the CA file: verify='/path/ca.pem' in the client. Or verify=False, or fix the target."
_FIX_NAME = "Use the name of the certificate in the URL, or verify=False in the client, or fix the target."
_CERT = "Give one: cert=('client.pem', 'client.key') in the client."

_Certificate = dict[str, Any]

# X509_V_ERR_… of OpenSSL, stable since 1.0.
_BY_VERIFY_CODE: dict[int, tuple[str, str]] = {
    9: ("tls_not_yet_valid", f"Check the clock of this machine and of the target. {_FIX_OR_SKIP}"),
    10: ("tls_expired", _FIX_OR_SKIP),
    18: ("tls_self_signed", _TRUST),
    19: ("tls_self_signed", _TRUST),
    2: ("tls_unknown_ca", _TRUST),
    20: ("tls_unknown_ca", _TRUST),
    21: ("tls_unknown_ca", _TRUST),
    62: ("tls_wrong_host", _FIX_NAME),
    64: ("tls_wrong_host", _FIX_NAME),
}

# Reasons as the ssl module names them; for alerts of the peer the name after "…_ALERT_".
_BY_REASON: dict[str, str] = {
    **dict.fromkeys(
        (
            "PROTOCOL_VERSION",
            "UNSUPPORTED_PROTOCOL",
            "NO_PROTOCOLS_AVAILABLE",
            "VERSION_TOO_LOW",
            "WRONG_SSL_VERSION",
            "INAPPROPRIATE_FALLBACK",
        ),
        "tls_version",
    ),
    **dict.fromkeys(
        (
            "INSUFFICIENT_SECURITY",
            "NO_SHARED_CIPHER",
            "NO_CIPHERS_AVAILABLE",
            "NO_SUITABLE_SIGNATURE_ALGORITHM",
            "NO_SUITABLE_GROUPS",
            "WRONG_SIGNATURE_TYPE",
            "WRONG_CIPHER_RETURNED",
            "DH_KEY_TOO_SMALL",
            "BAD_DH_VALUE",
            "UNSUPPORTED_ELLIPTIC_CURVE",
        ),
        "tls_no_cipher",
    ),
    # A server's alerts about certificates are about ours: it has no other to complain of.
    **dict.fromkeys(
        (
            "CERTIFICATE_REQUIRED",
            "BAD_CERTIFICATE",
            "CERTIFICATE_EXPIRED",
            "CERTIFICATE_REVOKED",
            "CERTIFICATE_UNKNOWN",
            "UNSUPPORTED_CERTIFICATE",
            "NO_CERTIFICATE",
            "UNKNOWN_CA",
            "ACCESS_DENIED",
        ),
        "tls_client_cert",
    ),
    "UNRECOGNIZED_NAME": "tls_wrong_host",
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"),
        "tls_not_tls",
    ),
}

_TEXTS: dict[str, tuple[str, str]] = {
    "tls_version": ("no TLS version in common with the target", "It may be too old: TLS 1.2 is the least spoken here."),
    "tls_no_cipher": ("no cipher suite or key strength in common with the target", ""),
    "tls_client_cert": ("the target wants a client certificate", _CERT),
    "tls_wrong_host": ("the target does not know the name it was asked for", _FIX_NAME),
    "tls_not_tls": ("this port does not speak TLS", "Write http:// instead of https://, or another port."),
    "tls_closed": ("the target closed the connection in the middle of the handshake", ""),
}


def error_from(exc: ssl.SSLError, phase: str = "tls", host: str = "", connection: object = None) -> HttpError:
    """The error to raise, `from exc`, for what OpenSSL said in `phase` about the target `host`.

    `connection` is the SSLObject or SSLSocket it happened on: with it the message can name dates and
    names, and a missing client certificate can be told from a missing cipher. After the handshake
    (phase is not "tls") an end of the stream is Closed or Truncated, as it is without TLS.
    """
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _untrusted(exc, phase, host, _chain(connection))
    if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _ended(phase)
    reason = exc.reason or ""
    category = _category(reason, phase, has_chain=bool(_chain(connection)))
    text, hint = _TEXTS.get(category, ("the handshake failed" if phase == "tls" else "broken TLS data", ""))
    if "_ALERT_" in reason and category == "tls_client_cert" and not reason.endswith(("REQUIRED", "HANDSHAKE_FAILURE")):
        text = "the target refused our client certificate"
    return _error(category, f"{text} ({reason})" if reason else f"{text}: {exc}", phase, hint)


def _category(reason: str, phase: str, *, has_chain: bool) -> str:
    alert = reason.partition("_ALERT_")[2] or reason.removeprefix("TLSV1_")
    if alert == "HANDSHAKE_FAILURE":
        # The alert for "no cipher in common" comes before the server's certificate, and the one for
        # "you sent no certificate" (TLS 1.2) after it. OpenSSL's and others' servers send the same number.
        return "tls_client_cert" if has_chain else "tls_no_cipher"
    category = _BY_REASON.get(alert, "tls_handshake" if phase == "tls" else "tls_error")
    if phase != "tls" and category != "tls_client_cert":  # which TLS 1.3 tells only after the handshake
        return "tls_error"
    return category


def _ended(phase: str) -> HttpError:
    if phase == "tls":
        return _error("tls_closed", _TEXTS["tls_closed"][0], phase, "")
    return Truncated(phase=phase) if phase in ("headers", "body") else Closed(phase=phase)


def _untrusted(exc: ssl.SSLCertVerificationError, phase: str, host: str, chain: Sequence[_Certificate]) -> TlsError:
    category, hint = _BY_VERIFY_CODE.get(exc.verify_code, ("tls_untrusted", _FIX_OR_SKIP))
    describe = _PARTICULARS.get(category)
    text = describe(host, chain) if describe else f"certificate refused: {exc.verify_message}"
    return _error(category, text, phase, hint)


def _error(category: str, text: str, phase: str, hint: str) -> TlsError:
    return TlsError(f"TLS: {text}", category=category, phase=phase, hints=(hint,) if hint else ())


def _expired(host: str, chain: Sequence[_Certificate]) -> str:
    return f"certificate has expired{_on(min, 'notAfter', chain)}"


def _not_yet_valid(host: str, chain: Sequence[_Certificate]) -> str:
    return f"certificate is not valid yet{_on(max, 'notBefore', chain, ', only from')}"


def _wrong_host(host: str, chain: Sequence[_Certificate]) -> str:
    names = (
        [value for kind, value in chain[0].get("subjectAltName", ()) if kind in ("DNS", "IP Address")] if chain else []
    )
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"certificate is for {shown or 'another name'}, not for {host or 'this host'}"


def _self_signed(host: str, chain: Sequence[_Certificate]) -> str:
    return (
        "certificate is self-signed"
        if len(chain) < 2
        else "certificate chain ends in a self-signed root not trusted here"
    )


def _unknown_ca(host: str, chain: Sequence[_Certificate]) -> str:
    issuer = _name(chain[-1].get("issuer", ())) if chain else ""
    return f"certificate was issued by {issuer or 'an authority'} that is not trusted here"


_PARTICULARS: dict[str, Callable[[str, Sequence[_Certificate]], str]] = {
    "tls_expired": _expired,
    "tls_not_yet_valid": _not_yet_valid,
    "tls_wrong_host": _wrong_host,
    "tls_self_signed": _self_signed,
    "tls_unknown_ca": _unknown_ca,
}


def _on(pick: Callable[[list[float]], float], field: str, chain: Sequence[_Certificate], word: str = " on") -> str:
    """ " on 2026-11-02": of several certificates the one that decides (first to end, last to begin)."""
    times = [float(ssl.cert_time_to_seconds(entry[field])) for entry in chain if field in entry]
    return f"{word} {datetime.fromtimestamp(pick(times), UTC):%Y-%m-%d}" if times else ""


def _name(parts: Sequence[Sequence[tuple[str, str]]]) -> str:
    """The telling part of a distinguished name: common name, else organisation and unit."""
    fields = dict(pair for group in parts for pair in group)
    named = fields.get("commonName") or " ".join(
        fields[key] for key in ("organizationName", "organizationalUnitName") if key in fields
    )
    return repr(named) if named else ""


def _chain(connection: object) -> list[_Certificate]:
    """What the server sent, leaf first; [] if nothing came.

    Public as SSLObject.get_unverified_chain() (DER) since Python 3.13; the inner object has given
    the decoded form since 3.10, which saves a parser. Without it only the particulars are missing.
    """
    inner = getattr(connection, "_sslobj", None)
    try:
        return [certificate.get_info() for certificate in inner.get_unverified_chain() or ()] if inner else []
    except (AttributeError, ValueError, ssl.SSLError):
        return []
