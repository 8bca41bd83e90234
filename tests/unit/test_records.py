"""The quick dataclasses do what frozen and plain dataclasses do, as far as the compiler uses it."""

from __future__ import annotations

from dataclasses import astuple, field, replace

import pytest

from specc.records import dataclass


@dataclass(frozen=True)
class Point:
    """A place."""

    x: int
    y: list[int] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Empty: ...


@dataclass(frozen=True, eq=False)
class Thing:
    name: str


@dataclass
class Counter:
    count: int = 0
    hidden: int = field(default=1, repr=False)


@dataclass(frozen=True)
class Own:
    x: int

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7


def test_equality_and_hash() -> None:
    assert Point(1) == Point(1, [2]) != Point(2)
    assert {Point(1), Point(1, [2])} == {Point(1)}
    assert Empty() == Empty() and len({Empty(), Empty()}) == 1
    assert Point(1) != (1, []) and Point(1) != Empty()
    assert Thing("a") != Thing("a") and len({Thing("a"), Thing("a")}) == 2
    assert Counter(1) == Counter(1) != Counter(1, 2)
    with pytest.raises(TypeError):
        hash(Counter())
    assert Own(1) == Own(2) and hash(Own(1)) == 7


def test_what_dataclasses_offers() -> None:
    point = replace(Point(1), x=3)
    assert astuple(point) == (3, [])
    match point:
        case Point(x=x):
            assert x == 3
    assert repr(point) == "Point(x=3, y=[])"
    assert repr(Counter()) == "Counter(count=0)"
    assert Point.__doc__ == "A place."
