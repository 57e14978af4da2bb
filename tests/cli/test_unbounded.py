from __future__ import annotations

import pytest

from loadgen.cli.unbounded import suggested_name


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("/item/81723", "/item/[id]"),
        ("/item/81723/reviews/4", "/item/[id]/reviews/[id]"),
        ("/user/6f1d9a52-9a52-4c1e-8e21-3f0a6b7c8d9e", "/user/[id]"),
        ("/blob/9f86d081884c7d65", "/blob/[id]"),
        ("/search?page=3&q=shoe", "/search?page=[id]&q=shoe"),
    ],
)
def test_ids_in_names_are_found(name: str, better: str) -> None:
    assert suggested_name(name) == better


@pytest.mark.parametrize("name", ["/", "/api/v1/items", "/item/[id]", "/facade", "/search?q=shoe", "", "reserve"])
def test_names_without_ids_are_left_alone(name: str) -> None:
    assert suggested_name(name) is None
