"""Who runs the users of a run: processes started here, workers that join from elsewhere, or both."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.cli.secret import need_secret
from loadgen.errors import ConfigError
from loadgen.limits import cores
from loadgen.settings import RunSettings
from loadgen.wire.address import Address, parse_bind_address


@dataclass(frozen=True, slots=True)
class Joining:
    """The workers that a run begins with. `listen` and `secret` are None where nobody joins from elsewhere."""

    local: int
    remote: int
    listen: Address | None
    secret: bytes | None
    lease_s: float | None  # None: a worker in this process, which a breakpoint may hold up for any time

    @property
    def expected(self) -> int:
        return self.local + self.remote


def joining_of(settings: RunSettings) -> Joining:
    """What the settings ask for. Raises ConfigError where that cannot be meant."""
    listen = None if settings.listen is None else parse_bind_address(settings.listen)
    _check(settings, listen)
    local = _local(settings)
    expected = local + settings.expect_workers
    if settings.min_workers is not None and settings.min_workers > expected:
        raise ConfigError(
            f"--min-workers {settings.min_workers} is more than the {expected} workers that are expected",
            hints=("lower it, or raise --expect-workers",),
        )
    secret = None if listen is None else need_secret(settings.secret_file, f"--listen {listen}")
    lease_s = None if settings.workers == "inline" else settings.lease_s
    return Joining(local, settings.expect_workers, listen, secret, lease_s)


def _check(settings: RunSettings, listen: Address | None) -> None:
    if listen is None and settings.expect_workers:
        raise ConfigError(
            "--expect-workers needs an address where they can join",
            hints=("add --listen 0.0.0.0:5557 (every interface) or one address of this machine",),
        )
    if listen is None and settings.workers == "none":
        raise ConfigError(
            "--workers none leaves nobody to run users",
            hints=("let workers join: --listen 0.0.0.0:5557 --expect-workers N", "or start some here: --workers auto"),
        )
    if listen is not None and settings.workers == "inline":
        raise ConfigError(
            "--workers inline is a run inside this process alone; nobody can join it",
            hints=("leave out --listen, or choose --workers auto or none",),
        )
    if listen is not None and settings.workers == "none" and not settings.expect_workers:
        raise ConfigError(
            f"--listen {listen} does not say how many workers to wait for",
            hints=("add --expect-workers N", "or run users here too, whoever joins: --workers auto"),
        )


def _local(settings: RunSettings) -> int:
    if settings.workers == "none":
        return 0
    if settings.workers == "inline":
        return 1
    if settings.workers == "auto":
        return max(1, min(cores(), settings.users))
    return settings.workers
