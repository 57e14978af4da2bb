"""Secrets out of texts that leave a worker: error samples, tracebacks, log records.

It errs on the side of hiding: what looks like a credential becomes `***`. Values are matched where
they are usually found (header lines, printed dicts, JSON, query strings, URLs), not by guessing at
random-looking words.
"""

from __future__ import annotations

import re

MAX_TEXT = 16_384  # characters looked at; the rest is cut off, never passed on unseen
HIDDEN = "***"

_HEADER_NAMES = r"(?:proxy-)?authorization|set-cookie2?|cookie|x-api-key|x-auth-token|x-csrf-token|api-key"
_KEY_WORDS = (
    r"token|secret|passw(?:or)?d|passwd|passphrase|pwd|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|client[_-]?key|signature|credential|session[_-]?id|jwt"
)
_QUOTE = r"\\?[\"']"

# The order matters: a header's whole value goes before a key inside it is looked at.
_HEADER = re.compile(
    rf"(?i)(?<![\w-])((?:{_HEADER_NAMES})(?:{_QUOTE})?\s*[:=]\s*)"
    rf"(?:b?\\?\"[^\"\r\n]*\"?|b?\\?'[^'\r\n]*'?|[^\r\n]+)"
)
_SCHEME = re.compile(r"(?i)(?<![\w-])(bearer|basic|digest|negotiate)(\s+)(?!\*\*\*)[\w.~+/=-]{6,}")
_USERINFO = re.compile(r"(?<=://)[^\s/?#@\"'<>]*(?:@[^\s/?#@\"'<>]*)*@")
_PAIR = re.compile(
    rf"(?i)(?<![\w-])([\w-]{{0,40}}?(?:{_KEY_WORDS})[\w-]{{0,40}}(?:{_QUOTE})?\s*[:=]\s*)"
    rf"(?:b?\\?\"[^\"\r\n]*\"?|b?\\?'[^'\r\n]*'?|[^\s&;,\"'<>}}\])]+)"
)
_SHORT_PAIR = re.compile(r"(?i)([?&](?:key|sig|auth|code|pass|pw)=)[^\s&;\"'<>]+")


def redact(text: str) -> str:
    """`text` without credentials, cut to MAX_TEXT characters."""
    text = text[:MAX_TEXT]
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _SCHEME.sub(rf"\1\2{HIDDEN}", text)
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    text = _PAIR.sub(rf"\1{HIDDEN}", text)
    return _SHORT_PAIR.sub(rf"\1{HIDDEN}", text)
