"""The sizes of parts, the keys of objects, and the memory that uploads share: without any object store."""

import itertools

import pytest

from opstore_daemon.savers.object_store.buffers import Budget
from opstore_daemon.savers.object_store.keys import PARTS, key_of, new_key, object_name
from opstore_daemon.savers.object_store.parts import MAX_PARTS, MAX_SIZE, MIB, MIN_PART, PART, part_size

GIB = 1024 * MIB


def sizes(total: int, *, known: bool) -> list[int]:
    """Return the sizes of the parts of an object of that size."""
    found: list[int] = []
    offset = 0
    while offset < total:
        found.append(min(part_size(len(found) + 1, offset, total if known else None), total - offset))
        offset += found[-1]
    return found


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("total", [1, PART, PART + 1, 10 * GIB, 80 * GIB, 1024 * GIB + 1, MAX_SIZE])
def test_an_object_of_any_size_fits_into_ten_thousand_parts(total: int, known: bool) -> None:
    found = sizes(total, known=known)
    assert len(found) <= MAX_PARTS
    assert all(size >= MIN_PART for size in found[:-1])
    assert sum(found) == total


def test_parts_are_small_as_long_as_they_can_be() -> None:
    assert set(sizes(8 * GIB, known=True)) == {PART}
    assert max(sizes(50 * GIB, known=False)) == 32 * MIB
    assert part_size(1, 0, MAX_SIZE) == 525 * MIB


def test_parts_are_larger_if_earlier_ones_were_too_small() -> None:
    assert part_size(9_001, 0, 80 * GIB) == 82 * MIB
    assert part_size(MAX_PARTS, 0, 80 * GIB) == 80 * GIB
    assert part_size(MAX_PARTS + 1, 0, 80 * GIB) == 80 * GIB
    assert part_size(2, 100, 50) == PART, "an announced size is only a hint"


def test_the_key_of_an_object_is_random_and_its_name_has_it() -> None:
    key = new_key()
    assert key != new_key()
    assert key_of(object_name(key)) == key
    assert object_name(key).startswith(f"objects/{key[:2]}/")
    assert key[:2] in PARTS
    for name in (key, f"objects/{key}", f"objects/zz/{key}", f"objects/{key[:2]}/{key}x", "objects/", "store-id"):
        assert key_of(name) is None


def test_memory_is_taken_and_given_back() -> None:
    budget = Budget(10)
    assert budget.try_take(6, 0)
    assert not budget.try_take(6, 0)
    assert budget.try_take(4, 6)
    budget.give_back(10)
    assert (budget.used, budget.peak) == (0, 10)


def test_who_is_alone_gets_more_than_the_limit() -> None:
    budget = Budget(10)
    assert budget.try_take(25, 0)
    assert budget.try_take(5, 25)
    assert not budget.try_take(1, 0)
    budget.give_back(30)


def test_requests_for_memory_are_granted_in_their_order() -> None:
    budget, granted = Budget(10), list[int]()
    assert budget.try_take(10, 0)
    for number in range(3):
        budget.request(6, lambda number=number: granted.append(number))  # type: ignore[misc]
    assert granted == []
    for expected in itertools.accumulate([[0], [1], [2]]):
        budget.give_back(budget.used)
        assert granted == expected
    budget.give_back(budget.used)
    assert budget.used == 0


def test_who_holds_none_does_not_overtake_those_who_wait() -> None:
    budget, granted = Budget(10), list[str]()
    assert budget.try_take(8, 0)
    budget.request(6, lambda: granted.append("first"))
    assert not budget.try_take(1, 0)
    assert budget.try_take(1, 8), "who holds some goes on, so that it can give all of it back"
    budget.give_back(9)
    assert granted == ["first"]
