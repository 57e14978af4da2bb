from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from loadgen.cli.options import (
    cluster_options,
    duration_option,
    output_options,
    run_settings,
    running_options,
    scenario_options,
    typed_command,
    users_options,
)
from loadgen.settings import RunSettings


def parsed(*argv: str, env: dict[str, str] | None = None) -> RunSettings:
    """The settings that these options make for a verb with all shared options."""
    seen: list[RunSettings] = []

    @click.command()
    @users_options()
    @duration_option()
    @scenario_options()
    @running_options()
    @cluster_options()
    @output_options()
    def verb(**params: Any) -> None:
        seen.append(run_settings(params))

    result = CliRunner(env=env or {}).invoke(verb, list(argv))
    assert result.exit_code == 0, result.output
    return seen[0]


def refused(*argv: str) -> str:
    @click.command()
    @users_options()
    @duration_option()
    @running_options()
    @cluster_options()
    @output_options()
    def verb(**params: Any) -> None:
        run_settings(params)

    result = CliRunner().invoke(verb, list(argv))
    assert result.exit_code != 0
    return result.output


def test_without_options_the_settings_are_their_own_defaults() -> None:
    settings = parsed()

    assert settings == RunSettings(command=settings.command)


def test_values_carry_their_units() -> None:
    settings = parsed("-u", "10k", "-r", "600/min", "-t", "1m30s", "--stop-timeout", "2s")

    assert settings.users == 10_000
    assert settings.spawn_rate_per_s == 10.0
    assert settings.duration_s == 90.0
    assert settings.stop_timeout_s == 2.0


@pytest.mark.parametrize(("text", "expected"), [("auto", "auto"), ("inline", "inline"), ("none", "none"), ("4", 4)])
def test_workers_are_a_number_or_a_word(text: str, expected: int | str) -> None:
    assert parsed("--workers", text).workers == expected


def test_who_listens_runs_no_users_itself_unless_told_to() -> None:
    assert parsed("--listen", "10.0.0.5:5557").workers == "none"
    assert parsed("--listen", "10.0.0.5:5557", "--workers", "auto").workers == "auto"


def test_who_joins_and_for_how_long() -> None:
    settings = parsed(
        *("--listen", "[::1]:5557", "--expect-workers", "1k", "--min-workers", "900", "--secret-file", "secret"),
        *("--worker-timeout", "2m", "--lease", "90s"),
    )

    assert (settings.listen, settings.expect_workers, settings.min_workers) == ("[::1]:5557", 1_000, 900)
    assert (settings.worker_timeout_s, settings.lease_s, settings.secret_file) == (120.0, 90.0, "secret")


def test_tags_may_be_listed_or_repeated() -> None:
    settings = parsed("--tags", "cart,slow", "--tags", "cart", "--exclude-tags", "admin beta")

    assert settings.tags == ("cart", "slow")
    assert settings.exclude_tags == ("admin", "beta")


def test_thresholds_keep_their_spaces_and_their_order() -> None:
    assert parsed("--threshold", "p95 < 300ms", "--threshold", "errors < 1%").thresholds == (
        "p95 < 300ms",
        "errors < 1%",
    )


def test_every_option_also_comes_from_the_environment() -> None:
    env = {
        "LOADGEN_USERS": "1.5k",
        "LOADGEN_SPAWN_RATE": "50",
        "LOADGEN_DURATION": "5m",
        "LOADGEN_HOST": "http://shop.test",
        "LOADGEN_WORKERS": "inline",
        "LOADGEN_THRESHOLD": "p95 < 300ms;errors < 1%",
        "LOADGEN_JSON": "out.json",
        "LOADGEN_TAGS": "a,b",
        "LOADGEN_EXCLUDE_TAGS": "c",
        "LOADGEN_SEED": "7",
        "LOADGEN_LOGLEVEL": "debug",
        "LOADGEN_LOGFILE": "run.log",
        "LOADGEN_STOP_TIMEOUT": "3s",
        "LOADGEN_STRICT_GENERATOR": "1",
        "LOADGEN_LISTEN": "10.0.0.5:5557",
        "LOADGEN_EXPECT_WORKERS": "4",
        "LOADGEN_MIN_WORKERS": "3",
        "LOADGEN_WORKER_TIMEOUT": "30s",
        "LOADGEN_LEASE": "5s",
        "LOADGEN_SECRET_FILE": "secret",
    }
    settings = parsed(env=env)

    assert settings == RunSettings(
        users=1_500,
        spawn_rate_per_s=50.0,
        duration_s=300.0,
        host="http://shop.test",
        workers="inline",
        thresholds=("p95 < 300ms", "errors < 1%"),
        json_path="out.json",
        tags=("a", "b"),
        exclude_tags=("c",),
        seed=7,
        loglevel="DEBUG",
        logfile="run.log",
        stop_timeout_s=3.0,
        strict_generator=True,
        listen="10.0.0.5:5557",
        expect_workers=4,
        min_workers=3,
        worker_timeout_s=30.0,
        lease_s=5.0,
        secret_file="secret",
        command=settings.command,
    )


def test_a_flag_wins_over_the_environment() -> None:
    assert parsed("-u", "3", env={"LOADGEN_USERS": "9"}).users == 3


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["-u", "many"], "500, 10k or 1.5M"),
        (["-u", "0"], "at least 1"),
        (["-r", "0"], "start nobody"),
        (["-t", "soon"], "30s, 1m30s"),
        (["-t", "0"], "no time at all"),
        (["--workers", "some"], "not a whole number"),
        (["--progress", "often"], "not a duration"),
        (["--user", "5"], "--users"),
        (["--listen", "5557"], "10.0.0.5:5557"),
        (["--lease", "0"], "no time at all"),
    ],
)
def test_a_wrong_value_says_what_a_right_one_looks_like(argv: list[str], hint: str) -> None:
    assert hint in refused(*argv)


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["run", "shop.py", "--api-token", "s3cret"], "loadgen run shop.py --api-token '***'"),
        (["run", "shop.py", "--password=s3cret"], "loadgen run shop.py '--password=***'"),
        (["quick", "http://me:s3cret@shop.test/"], "loadgen quick 'http://***@shop.test/'"),
        (["quick", "http://shop.test/?api_key=s3cret&x=1"], "loadgen quick 'http://shop.test/?api_key=***&x=1'"),
        (["quick", "http://shop.test/", "-H", "Authorization: Bearer s3cret"], "'Authorization: ***'"),
        (["run", "shop.py", "-u", "5"], "loadgen run shop.py -u 5"),
        (["run", "shop.py", "--secret-file", "key.txt"], "loadgen run shop.py --secret-file key.txt"),
    ],
)
def test_secrets_in_a_command_line_are_not_kept(argv: list[str], shown: str) -> None:
    command = typed_command(["/usr/bin/loadgen", *argv])

    assert shown in command
    assert "s3cret" not in command
