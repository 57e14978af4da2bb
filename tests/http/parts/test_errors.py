"""Every failure has one category, a phase and a culprit."""

from __future__ import annotations

import errno

import pytest

from loadgen.errors import RequestError
from loadgen.http import errors
from loadgen.http.errors import CATEGORIES, FAULTS, PHASES, HttpError, from_os_error, status_category


def _all_errors(root: type[HttpError] = HttpError) -> list[type[HttpError]]:
    return [root, *(found for child in root.__subclasses__() for found in _all_errors(child))]


def test_every_row_of_the_table_uses_known_phases_and_faults() -> None:
    for category, row in CATEGORIES.items():
        assert row.phases, category
        assert set(row.phases) <= {"", *PHASES}, category
        assert row.fault in FAULTS, category
        assert row.meaning, category


def test_every_error_class_has_a_category_of_the_table_and_stands_in_the_tree_of_the_docstring() -> None:
    for kind in _all_errors():
        assert kind.default_category in CATEGORIES
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_generator_fault_is_only_ever_a_category_of_its_own() -> None:
    blamed_on_us = {category for category, row in CATEGORIES.items() if row.fault == "generator"}

    assert blamed_on_us == {"generator_limit", "io_error"}


def test_an_error_made_without_arguments_carries_what_its_category_says() -> None:
    error = errors.FirstByteTimeout()

    assert (error.category, error.phase, error.fault) == ("first_byte_timeout", "wait", "target")
    assert str(error) == CATEGORIES["first_byte_timeout"].meaning
    assert isinstance(error, RequestError)
    assert isinstance(error, errors.RequestTimeout)


@pytest.mark.parametrize(
    ("code", "category", "fault"),
    [
        (errno.ECONNREFUSED, "connect_refused", "target"),
        (errno.EHOSTUNREACH, "unreachable", "network"),
        (errno.ENETUNREACH, "unreachable", "network"),
        (errno.EPERM, "unreachable", "network"),
        (errno.ETIMEDOUT, "connect_timeout", "target"),
        (errno.ECONNRESET, "reset", "target"),
        (errno.EPIPE, "reset", "target"),
        (errno.EMFILE, "generator_limit", "generator"),
        (errno.ENFILE, "generator_limit", "generator"),
        (errno.EADDRNOTAVAIL, "generator_limit", "generator"),
        (errno.EAGAIN, "generator_limit", "generator"),
        (errno.ENOBUFS, "generator_limit", "generator"),
        (errno.ENOMEM, "generator_limit", "generator"),
        (errno.EILSEQ, "io_error", "generator"),
    ],
    ids=lambda value: errno.errorcode.get(value, str(value)) if isinstance(value, int) else value,
)
def test_the_operating_system_s_word_becomes_a_category(code: int, category: str, fault: str) -> None:
    error = from_os_error(OSError(code, "Some Text"), "connect", "10.0.0.1:80")

    assert (error.category, error.fault, error.phase) == (category, fault, "connect")
    assert str(error) == f"some text ({errno.errorcode[code]}) at 10.0.0.1:80"


def test_data_the_kernel_could_not_deliver_is_an_idle_timeout_once_connected() -> None:
    assert from_os_error(TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "body").category == "idle_timeout"


@pytest.mark.parametrize(
    ("exc", "category"),
    [(ConnectionRefusedError(), "connect_refused"), (BrokenPipeError(), "reset"), (OSError(), "io_error")],
)
def test_an_error_without_a_number_is_judged_by_its_class(exc: OSError, category: str) -> None:
    assert from_os_error(exc, "send").category == category


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, "http_4xx"),
        (499, "http_4xx"),
        (500, "http_5xx"),
        (599, "http_5xx"),
        (99, "http_other"),
        (777, "http_other"),
    ],
)
def test_a_status_is_classed_by_its_first_digit(status: int, category: str) -> None:
    assert status_category(status) == category
    assert errors.HttpStatusError("no", status=status).category == category


def test_a_limit_of_this_machine_says_what_to_do() -> None:
    assert "ulimit -n" in from_os_error(OSError(errno.EMFILE, "Too many open files"), "connect").render()
