"""One request as the recorder sees it: begun once, settled exactly once, whatever happens in between.

settle_ok | settle_failed | settle_cancelled: the first call records, any later one does nothing.
"""

from __future__ import annotations

from time import monotonic_ns, time
from typing import TYPE_CHECKING, Any

from loadgen.errors import CatchResponseError
from loadgen.http.bodies import NO_BODY, Body
from loadgen.http.errors import HttpError
from loadgen.http.response import status_error
from loadgen.metrics.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadgen.http.engine import HttpEngine
    from loadgen.http.owner import RequestOwner
    from loadgen.http.plans import Plan, Site
    from loadgen.http.response import Response
    from loadgen.http.settings import Timeouts

MAX_MESSAGE = 500


class Measurement:
    """A request from its first byte sent to its record, over redirects and one retry.

    Class attributes are the defaults of the ordinary request, so that making one is cheap.
    """

    headers: Mapping[str, Any] | None = None  # of this request alone
    cookies: Mapping[str, str] | None = None
    authorization: str | None = None
    dropped: frozenset[str] = frozenset()  # lower-case names a redirect forbids to send again
    allow_redirects = True
    stream = False
    catch = False
    context: Mapping[str, Any] | None = None
    history: list[Response] | None = None
    size = 0  # bytes of all bodies so far, redirects included
    hops = 0
    ordinary = True  # no headers, cookies or credentials of this request's own
    retried = False
    must_dial = False
    reused = False
    settled = False

    def __init__(self, engine: HttpEngine, owner: RequestOwner, site: Site, plan: Plan, name: str | None,
                 timeouts: Timeouts, begun_ns: int, body: Body = NO_BODY) -> None:  # fmt: skip
        self.engine = engine
        self.owner = owner
        self.method = plan.method
        self.name = name if name is not None else plan.name
        self.first = plan  # of the first hop
        if name is None:
            self.series = plan.series or site.series_of(plan)
        else:
            self.series = site.series(plan.method, name)
        self.site = site
        self.plan = plan  # of the present hop
        self.timeouts = timeouts
        self.begun_ns = begun_ns
        self.ended_ns = 0
        self.body = body

    @property
    def elapsed_ns(self) -> int:
        return (self.ended_ns or monotonic_ns()) - self.begun_ns

    def end(self) -> None:
        """The last byte is there: service time ends now, whenever the record is made."""
        self.ended_ns = monotonic_ns()

    def rename(self, name: str) -> None:
        """Record under another name; possible until it is settled."""
        self.name = name
        self.series = self.site.series(self.method, name)

    def settle(self, response: Response) -> None:
        """Settle by the rule: a response with a status below 400 is a success."""
        if response.error is not None:
            self.settle_failed(response.error, response)
        elif response.status_code >= 400 or response.status_code < 100:
            self.settle_failed(status_error(response), response)
        else:
            self.settle_ok(response)

    def settle_ok(self, response: Response) -> None:
        """The request counts as a success."""
        if not self.settled:
            self.settled = True
            self.series.ok(self.elapsed_ns // 1000, self.size, self.owner.wait_us)
            self._fire(response, None)

    def settle_failed(self, error: BaseException, response: Response | None) -> None:
        """The request counts as failed, because of `error`."""
        if not self.settled:
            self.settled = True
            self.owner.iteration_failed = True
            self.series.failed(self.elapsed_ns // 1000, self.size, self.owner.wait_us, self._failure(error))
            self._fire(response, error)

    def settle_cancelled(self) -> None:
        """The request was stopped in flight: it counts as sent, neither as success nor as failure."""
        if not self.settled:
            self.settled = True
            self.series.cancelled(self.elapsed_ns // 1000)

    def _failure(self, error: BaseException) -> Failure:
        message = str(error) or type(error).__name__
        category, phase, fault = "exception", "", "scenario"
        if isinstance(error, HttpError):
            category, phase, fault = error.category, error.phase, error.fault
        elif isinstance(error, CatchResponseError):
            category, fault = "check", "target"
        elif str(error):
            message = f"{type(error).__name__}: {error}"
        return Failure(category, message[:MAX_MESSAGE], phase, fault, self.size, self.retried, self.reused)

    def _fire(self, response: Response | None, exception: BaseException | None) -> None:
        event = self.engine.request_event
        if event is None or not event.listeners:
            return
        event.fire(
            request_type=self.method,
            name=self.name,
            response_time=self.elapsed_ns / 1e6,
            response_length=self.size,
            response=response,
            context=self._context(),
            exception=exception,
            start_time=time() - (monotonic_ns() - self.begun_ns) / 1e9,
            url=self.first.url,
        )

    def _context(self) -> dict[str, Any]:
        of_owner = getattr(self.owner, "context", None)
        return {**(of_owner() if callable(of_owner) else {}), **(self.context or {})}
