"""Suggestions in a store with many names: from alphabetical neighbours, within a limit."""

import pytest
from sqlalchemy import insert

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata.tables import Op
from opstore_daemon.protocol import errors
from opstore_daemon.store.catalog import suggestions
from tests.support.statements import counted


def fill(server: OpStoreServer, names: list[str]) -> None:
    with server.db.write() as connection:
        connection.execute(insert(Op), [{"name": name} for name in names])


def similar_to(server: OpStoreServer, name: str) -> list[str]:
    with pytest.raises(errors.OpNotFound) as caught:
        server.store.op(name)
    found: list[str] = caught.value.details.get("similar", [])
    return found


def test_in_a_large_store_only_alphabetical_neighbours_are_compared(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggestions, "MAX_NAMES", 100)
    fill(memory, [f"aa{n:04}" for n in range(500)] + ["random_forest"] + [f"zz{n:04}" for n in range(500)])
    assert similar_to(memory, "random_forst") == ["random_forest"]
    assert similar_to(memory, "0random_forest") == []  # too many names are in between


@pytest.mark.parametrize(
    ("name", "most"),
    [("m" * 120 + "x", suggestions.MAX_WORK // 121**2), ("a", suggestions.MAX_NAMES)],
    ids=["long", "short"],
)
def test_the_number_of_names_read_is_limited_by_their_length(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    fill(memory, [f"{'m' * 120}{n:05}" for n in range(2000)] + [f"a{n:05}" for n in range(12_000)])
    compared: list[int] = []

    def compare(_name: str, names: list[str]) -> list[str]:
        compared.append(len(names))
        return []

    monkeypatch.setattr(suggestions, "get_close_matches", compare)
    assert similar_to(memory, name) == []
    assert most // 2 - 1 <= compared[0] <= most


def test_similar_names_are_read_only_for_an_error(memory: OpStoreServer) -> None:
    fill(memory, ["pca"])
    with counted(memory) as statements:
        memory.store.op("pca")
    found = len(statements)
    with counted(memory) as statements:
        similar_to(memory, "pac")
    assert found == 2
    assert len(statements) == 4, "neither an op nor a pipeline has that name; one in each direction of the alphabet"
