"""Store and client implement the verbs with the same parameters and defaults."""

import inspect
from typing import Any

from opstore_cli import BaseOpStoreClient
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.store import Store
from tests.support.for_each import for_each

VERBS = sorted(name for name in vars(OpStoreInterface) if not name.startswith("_"))


def parameters(kind: type, verb: str) -> dict[str, tuple[Any, Any]]:
    found = inspect.signature(getattr(kind, verb)).parameters.values()
    return {each.name: (each.kind, each.default) for each in found}


@for_each("kind", [Store, BaseOpStoreClient])
@for_each("verb", VERBS)
def test_a_verb_has_the_same_parameters_and_defaults_everywhere(kind: type, verb: str) -> None:
    wanted, given = parameters(OpStoreInterface, verb), parameters(kind, verb)
    assert {name: given.get(name) for name in wanted} == wanted
    # Additional parameters of an implementation are optional.
    assert all(given[name][1] is not inspect.Parameter.empty for name in given if name not in wanted)


def test_push_and_resolve_are_among_the_verbs() -> None:
    assert {"push", "resolve"} < set(VERBS)
