"""TLS settings, and the contexts made from them: one per distinct settings, shared by all clients.

Certificates are verified unless somebody says otherwise, TLS 1.2 is the oldest version spoken, and
renegotiation is refused. Reading the CA certificates costs 10 to 20 ms and about a megabyte, hence the cache.
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from functools import lru_cache

from loadgen.errors import ConfigError
from loadgen.http.tls_errors import error_from
from loadgen.http.urls import Target

__all__ = ["TlsSettings", "context_for", "error_from", "server_hostname"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # what OpenSSL looks for in a directory (c_rehash)
_CERTIFICATE_NAME = re.compile(r".*\.(pem|crt|cer)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How a client speaks TLS. Raises ConfigError for values that mean nothing.

    verify: True = the system's CAs, False = accept any certificate, str = a CA file or a directory of them.
    cert: the client certificate: one PEM file with certificate and key, or (certificate, key).
    minimum_version: "1.2" or "1.3".
    server_name: the name to ask for and to expect, where it is not the one in the URL.
    """

    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    minimum_version: str = "1.2"
    server_name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.verify, bool | str):
            raise ConfigError(f"verify={self.verify!r}: give True, False, or the path of a CA file or directory")
        if self.minimum_version not in _VERSIONS:
            raise ConfigError(f"minimum TLS version {self.minimum_version!r}: give one of {', '.join(_VERSIONS)}")


def context_for(settings: TlsSettings) -> ssl.SSLContext:
    """The context for these settings. Raises ConfigError if a file cannot be used, naming it."""
    return _context(settings.verify, settings.cert, settings.minimum_version)


def server_hostname(settings: TlsSettings, target: Target) -> str:
    """The name for SNI and for the check of the certificate: no trailing dot, no IPv6 zone."""
    return settings.server_name or target.host.partition("%")[0].rstrip(".")


@lru_cache(maxsize=32)
def _context(verify: bool | str, cert: str | tuple[str, str] | None, minimum_version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    # A server that prefers HTTP/2 must know that we do not speak it.
    context.set_alpn_protocols(["http/1.1"])
    _trust(context, verify)
    if cert is not None:
        _identify(context, cert)
    return context


def _trust(context: ssl.SSLContext, verify: bool | str) -> None:
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return
    # An intermediate, or the server's own certificate, may be the anchor: as curl and newer Pythons do.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if verify is True:
        context.load_default_certs()
    elif os.path.isdir(verify):
        _trust_directory(context, verify)
    else:
        _trust_file(context, verify)


def _trust_directory(context: ssl.SSLContext, path: str) -> None:
    names = sorted(os.listdir(path))
    if any(map(_HASHED_NAME.fullmatch, names)):
        context.load_verify_locations(capath=path)
        return
    files = [os.path.join(path, name) for name in names if _CERTIFICATE_NAME.fullmatch(name)]
    if not files:
        raise ConfigError(f"no CA certificates (.pem, .crt, .cer) in the directory {path}")
    for file in files:
        _trust_file(context, file)


def _trust_file(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as exc:
        raise ConfigError(f"{path} holds no CA certificates in PEM form ({exc.reason or exc})") from exc
    except OSError as exc:
        raise ConfigError(f"cannot read the CA certificates in {path}: {exc.strerror or exc}") from exc


def _identify(context: ssl.SSLContext, cert: str | tuple[str, str]) -> None:
    certificate, key = (cert, None) if isinstance(cert, str) else cert
    named = certificate if key is None else f"{certificate} with the key {key}"

    def refuse() -> str:
        # Without this OpenSSL would ask on the terminal, in each worker.
        raise ConfigError(f"the key of the client certificate {named} is encrypted: store it without a password")

    try:
        context.load_cert_chain(certificate, key, refuse)
    except ssl.SSLError as exc:
        raise ConfigError(
            f"the client certificate {named} cannot be used ({exc.reason or exc})",
            hints=("Both must be PEM, the key must belong to the certificate; one file may hold both.",),
        ) from exc
    except OSError as exc:
        raise ConfigError(f"cannot read the client certificate {named}: {exc.strerror or exc}") from exc
