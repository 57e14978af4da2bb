"""What users, listeners and the process around them share: one Environment per process and run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loadgen.clock import Clock, SystemClock
from loadgen.errors import ConfigError
from loadgen.hooks import Events
from loadgen.hooks import events as process_events
from loadgen.runner import Runner as Runner
from loadgen.runner import RunnerBackend as RunnerBackend
from loadgen.stats import RequestStats
from loadgen.tasks import TaskSet, make_table, tags_of
from loadgen.weighting import TaskTable

if TYPE_CHECKING:
    from loadgen.http.client import HttpClient
    from loadgen.http.engine import HttpEngine
    from loadgen.http.settings import ClientSettings
    from loadgen.http.tls import TlsSettings
    from loadgen.metrics.recorder import Recorder
    from loadgen.users import HttpUser, User


class Environment:
    """The surroundings of a run, as Locust scenarios know them.

    `parsed_options` are all options of the run, the scenario's own included. `runner` is None until
    the process has one. Raises ValueError if two user classes have the same name.
    """

    def __init__(
        self,
        *,
        user_classes: Sequence[type[User]] = (),
        shape_class: Any = None,
        tags: Iterable[str] | None = None,
        exclude_tags: Iterable[str] | None = None,
        events: Events | None = None,
        host: str | None = None,
        stop_timeout: float | None = None,
        catch_exceptions: bool = True,
        parsed_options: Namespace | Mapping[str, Any] | None = None,
        recorder: Recorder | None = None,
        clock: Clock | None = None,
        seed: int = 0,
        dns_ttl_s: float = 30.0,
        stats: RequestStats | None = None,
    ) -> None:
        self.user_classes = _distinct([one for one in user_classes if one.weight > 0 or one.fixed_count > 0])
        self.shape_class = shape_class
        self.tags = frozenset(tags or ())
        self.exclude_tags = frozenset(exclude_tags or ())
        self.events = events if events is not None else process_events
        self.host = host
        self.stop_timeout = stop_timeout
        self.catch_exceptions = catch_exceptions
        self.parsed_options = Namespace(**parsed_options) if isinstance(parsed_options, Mapping) else parsed_options
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.recorder = recorder if recorder is not None else _new_recorder(self.clock)
        self.seed = seed
        self.stats = stats if stats is not None else RequestStats()
        self.runner: Runner | None = None
        self.web_ui: Any = None
        self.process_exit_code: int | None = None
        self._dns_ttl_s = dns_ttl_s
        self._http: HttpEngine | None = None
        self._settings: dict[type[HttpUser], ClientSettings] = {}
        self._tables: dict[object, TaskTable] = {}
        self.events.request.recorder = self.recorder

    @property
    def http(self) -> HttpEngine:
        """The HTTP engine of this process, made when it is first used.

        Raises ConfigError for settings of an HttpUser that cannot work, so that no user starts with them.
        """
        if self._http is None:
            from loadgen.http.engine import HttpEngine
            from loadgen.users import HttpUser

            for cls in self.user_classes:
                if issubclass(cls, HttpUser):
                    self._settings_of(cls)
            self._http = HttpEngine(
                self.recorder, request_event=self.events.request.finished, dns_ttl_s=self._dns_ttl_s
            )
        return self._http

    @http.setter
    def http(self, engine: HttpEngine) -> None:
        self._http = engine

    @property
    def has_http(self) -> bool:
        """Was the HTTP engine made?"""
        return self._http is not None

    def client_for(self, user: HttpUser) -> HttpClient:
        """A new HTTP client for `user`. Raises ConfigError if there is no host, or a setting cannot work."""
        from loadgen.http.client import HttpClient

        return HttpClient(self.http, user.base_url(), user, self._settings_of(type(user)))

    def _settings_of(self, cls: type[HttpUser]) -> ClientSettings:
        settings = self._settings.get(cls)
        if settings is None:
            settings = self._settings[cls] = client_settings(cls)
        return settings

    def table_of(self, holder: User | TaskSet) -> TaskTable:
        """The holder's tasks as --tags and --exclude-tags leave them, ready to choose from."""
        cls = type(holder)
        inherited = _tags_around(holder) if self.tags or self.exclude_tags else frozenset()
        key: object = (cls, inherited) if inherited else cls
        tasks = holder.tasks
        table = self._tables.get(key)
        if table is None or table.source is not tasks:
            table = make_table(cls, tasks, self.tags, self.exclude_tags, inherited)
            if tasks is cls.tasks:
                self._tables[key] = table
        return table

    def task_failed(self, user: User, error: BaseException) -> None:
        """Record an exception of the scenario's code and tell the listeners of user_error.

        Raises it again if exceptions are not to be caught.
        """
        self.recorder.task_error(type(user).__name__, error)
        self.events.user_error.fire(user_instance=user, exception=error, tb=error.__traceback__)
        if not self.catch_exceptions:
            raise error

    def stop_test(self) -> None:
        """A user raised StopTest: ask for the end of the run. Without a runner only that user ends."""
        if self.runner is not None:
            self.runner.quit()

    @property
    def user_classes_by_name(self) -> dict[str, type[User]]:
        return {one.__name__: one for one in self.user_classes}


def client_settings(cls: type[HttpUser]) -> ClientSettings:
    """The settings of a user class's clients, from its class attributes.

    Raises ConfigError, naming the class, for values that mean nothing and for files that cannot be used.
    """
    from loadgen.http.settings import DEFAULTS, ClientSettings, Timeouts

    headers = dict(DEFAULTS.default_headers)
    for name, value in (cls.default_headers or {}).items():
        for known in [one for one in headers if one.lower() == name.lower()]:
            del headers[known]
        headers[name] = value
    try:
        return ClientSettings(
            timeouts=Timeouts(cls.connection_timeout, cls.network_timeout, cls.network_timeout),
            tls=_tls_settings(cls),
            default_headers=tuple(headers.items()),
            max_redirects=cls.max_redirects,
        )
    except ConfigError as exc:
        raise ConfigError(f"{cls.__name__}: {exc.message}", code=exc.code, hints=exc.hints) from exc


def _tls_settings(cls: type[HttpUser]) -> TlsSettings:
    from loadgen.http.tls import TlsSettings, context_for

    settings = TlsSettings(
        verify=False if cls.insecure else cls.verify,
        cert=cls.cert,
        minimum_version=cls.tls_minimum_version,
        server_name=cls.tls_server_name,
    )
    if settings.names_files:
        context_for(settings)  # kept there; the system's CAs (20 ms) wait until somebody needs them
    return settings


def _tags_around(holder: User | TaskSet) -> frozenset[str]:
    """The tags of the sets that a nested TaskSet stands in."""
    found: frozenset[str] = frozenset()
    while isinstance(holder, TaskSet):
        holder = holder.parent
        found |= tags_of(type(holder))
    return found


def _distinct(user_classes: list[type[User]]) -> list[type[User]]:
    names: dict[str, type[User]] = {}
    for one in user_classes:
        if names.setdefault(one.__name__, one) is not one:
            raise ValueError(f"two user classes are called {one.__name__}: rename one of them")
    return user_classes


def _new_recorder(clock: Clock) -> Recorder:
    from loadgen.metrics.recorder import Recorder

    return Recorder(clock)
