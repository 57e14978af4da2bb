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

__all__ = ["ClientCert", "FilePath", "TlsSettings", "context_for", "error_from", "server_hostname"]

FilePath = str | os.PathLike[str]
ClientCert = FilePath | tuple[FilePath, FilePath]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_SERVER_NAME = re.compile(r"\w[\w.-]*|[0-9a-fA-F.]*(:[0-9a-fA-F.]*){2,}")  # no scheme, no port
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # what OpenSSL looks for in a directory (c_rehash)
_CERTIFICATE_NAME = re.compile(r".*\.(pem|crt|cer)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How a client speaks TLS. Raises ConfigError for values that mean nothing.

    verify: True = the system's CAs, False = accept any certificate, a path = a CA file or a directory of them.
    cert: the client certificate: one PEM file with certificate and key, or (certificate, key).
    minimum_version: "1.2" or "1.3".
    server_name: the name to ask the client's own host for and to expect there, where it is not the one in the URL.
    """

    verify: bool | FilePath = True
    cert: ClientCert | None = None
    minimum_version: str = "1.2"
    server_name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.verify, bool | str | os.PathLike):
            raise ConfigError(f"verify={self.verify!r}: give True, False, or the path of a CA file or directory")
        if self.cert is not None and not _is_cert(self.cert):
            raise ConfigError(f"cert={self.cert!r}: give the path of a PEM file, or (certificate, key)")
        if self.minimum_version not in tuple(_VERSIONS):
            known = " or ".join(f'"{version}"' for version in _VERSIONS)
            raise ConfigError(f"minimum TLS version {self.minimum_version!r}: give {known}, in quotes")
        if self.server_name is not None and not _is_server_name(self.server_name):
            raise ConfigError(f"TLS server name {self.server_name!r}: give a host name alone, without scheme or port")

    @property
    def names_files(self) -> bool:
        """Whether they can fail for what is (or is not) on the disk."""
        return self.cert is not None or not isinstance(self.verify, bool)


def _is_cert(cert: object) -> bool:
    paths = cert if isinstance(cert, tuple) and len(cert) == 2 else (cert,)
    return all(isinstance(path, str | os.PathLike) for path in paths)


def _is_server_name(name: object) -> bool:
    return isinstance(name, str) and _SERVER_NAME.fullmatch(name) is not None


def context_for(settings: TlsSettings) -> ssl.SSLContext:
    """The context for these settings. Raises ConfigError if a file cannot be used, naming it."""
    verify, cert = settings.verify, settings.cert
    files = cert if isinstance(cert, tuple) else () if cert is None else (cert,)
    return _context(
        verify if isinstance(verify, bool) else os.fspath(verify),
        tuple(os.fspath(file) for file in files),
        settings.minimum_version,
    )


def server_hostname(settings: TlsSettings, target: Target) -> str:
    """The name for SNI and for the check of the certificate: no trailing dot, no IPv6 zone."""
    return settings.server_name or target.host.partition("%")[0].rstrip(".")


@lru_cache(maxsize=32)
def _context(verify: bool | str, cert: tuple[str, ...], minimum_version: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    # A server that prefers HTTP/2 must know that we do not speak it.
    context.set_alpn_protocols(["http/1.1"])
    _trust(context, verify)
    if cert:
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


def _identify(context: ssl.SSLContext, cert: tuple[str, ...]) -> None:
    certificate, key = cert[0], cert[1] if len(cert) > 1 else None
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
