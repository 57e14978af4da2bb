"""From one 32-byte secret to the CURVE keys of both ends.

Whoever has the secret can be master or worker; nobody else can be either. The master accepts exactly
the one derived client key (CURVE alone would accept any client, so the master also answers ZAP).
"""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

import zmq
from zmq.utils import z85

from loadgen.errors import ConfigError

SECRET_BYTES = 32
ZAP_DOMAIN = b"loadgen"


class CurveKeys(NamedTuple):
    """z85-encoded CURVE key pairs, 40 bytes each."""

    master_public: bytes
    master_secret: bytes
    worker_public: bytes
    worker_secret: bytes


def new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def derive_keys(secret: bytes) -> CurveKeys:
    """Both key pairs of `secret`; the same secret gives the same keys on every machine.

    Keyed BLAKE2b with a distinct personalisation per role; any 32 bytes are a valid Curve25519 secret.
    """
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"the secret has {len(secret)} bytes, it must have {SECRET_BYTES}")
    master_secret = _derive(secret, b"lg master curve")
    worker_secret = _derive(secret, b"lg worker curve")
    return CurveKeys(
        zmq.curve_public(master_secret),
        master_secret,
        zmq.curve_public(worker_secret),
        worker_secret,
    )


def _derive(secret: bytes, role: bytes) -> bytes:
    digest = hashlib.blake2b(key=secret, digest_size=SECRET_BYTES, person=role).digest()
    encoded: bytes = z85.encode(digest)
    return encoded


def parse_secret(text: str, where: str = "the secret") -> bytes:
    """The secret in 64 hexadecimal digits; `where` it stands is said in the ConfigError."""
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ConfigError(
            f"{where} is not 64 hexadecimal digits",
            hints=("make one with: loadgen keygen --out secret",),
        )
    return secret
