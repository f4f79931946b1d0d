"""As of a position, the store returns what it returned then."""

import os
import random
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Validation
from opstore_daemon.store.store import Store
from tests.support.examples import scaled
from tests.support.places import Place

OPERATIONS = int(os.environ.get("OPSTORE_TEST_OPERATIONS", max(scaled(100), 15)))
SEED = int(os.environ.get("OPSTORE_TEST_SEED", "7"))
OPS = ("scaler", "pca", "forest", "report")
PIPELINES = {"chain": ["scaler", "pca", "forest"], "pair": ["pca", "report"]}
Answers = dict[str, Any]


def asked(question: Callable[[], Any]) -> Any:
    """Return the result, or the error that something is missing."""
    try:
        return question()
    except errors.OpStoreError as error:
        return error.code, {name: value for name, value in error.details.items() if name != "as_of"}


def verdict(question: Callable[[], Validation]) -> Any:
    """Return the verdict without its position, which depends on later entries."""
    return asked(lambda: msgspec.structs.replace(question(), position=0))


def snapshot(store: Store, as_of: str | None = None) -> Answers:
    """Return everything that can be read as of a position."""
    found: Answers = {"links": store.links(as_of=as_of), "tags": store.tags(as_of=as_of)}
    found["history"] = store.tags(history=True, as_of=as_of)
    found["ops"] = store.op_lines("", 100, as_of)
    for op in OPS:
        found[f"versions {op}"] = asked(lambda op=op: store.versions(op, as_of=as_of))  # type: ignore[misc]
        found[f"labelled {op}"] = asked(lambda op=op: store.versions(op, label=["l=1"], as_of=as_of))  # type: ignore[misc]
        found[f"valid {op}"] = asked(lambda op=op: store.versions(op, valid_for=["forest"], as_of=as_of))  # type: ignore[misc]
        found[f"links {op}"] = asked(lambda op=op: store.links(op, as_of=as_of))  # type: ignore[misc]
        for selector in ("latest", "1", "1.0.0", ">=1.0.1", "prod", "dev"):
            reference = f"{op}@{selector}"
            found[f"show {reference}"] = asked(lambda reference=reference: store.show(reference, as_of=as_of))  # type: ignore[misc]
        found[f"affected {op}"] = asked(lambda op=op: store.affected(op, as_of=as_of))  # type: ignore[misc]
        for down in OPS:
            found[f"{op} {down}"] = verdict(lambda op=op, down=down: store.validate(op, down, as_of=as_of))  # type: ignore[misc]
    for name in PIPELINES:
        found[f"validate {name}"] = verdict(lambda name=name: store.validate_pipeline(name, as_of=as_of))  # type: ignore[misc]
        found[f"resolve {name}"] = asked(lambda name=name: store.resolve(name, as_of=as_of))  # type: ignore[misc]
    return found


def something(store: Store, chance: random.Random) -> None:
    """Make a random change, which may be refused."""
    op, other = chance.sample(OPS, 2)
    known = asked(lambda: [f"{op}@{version.version}" for version in store.versions(op).versions])
    mine = chance.choice(known) if isinstance(known, list) and known else op
    down = chance.choice([other, f"{other}@1.0.0", f"{other}@latest"])
    bump = chance.choice(["patch", "minor", "major"])
    changes: list[Callable[[], Any]] = [
        lambda: store.push(op, chance.randbytes(3), bump=bump, valid_for=[other], tags=["dev"]),  # type: ignore[arg-type]
        lambda: store.push(op, b"the same", labels={"n": str(chance.random())}, message="again"),
        lambda: store.register(op, fields={"major": {"k": str(chance.randrange(4))}}, message="a", labels={"l": "1"}),
        lambda: store.push(op, chance.randbytes(2), fields={"major": {"k": str(chance.randrange(4))}}, message="b"),
        lambda: store.push(op, b"pushed", subversions=store.show(mine).subversions),
        lambda: store.link(mine, down, valid=chance.random() < 0.8),
        lambda: store.link(mine, down, evidence=str(chance.random())),
        lambda: store.unlink(mine, down),
        lambda: store.edit(mine, message=chance.choice(["", "edited"]), labels={"l": str(chance.randrange(3))}),
        lambda: store.edit(mine, labels={"m": "1"}, unlabel=["l"]),
        lambda: store.set_op(op, description=chance.choice(["", "one", "two"])),
        lambda: store.tag(mine, chance.choice(["prod", "dev"])),
        lambda: store.untag(op, "prod"),
        lambda: store.yank(mine, f"broken {chance.random()}"),
        lambda: store.unyank(mine),
        lambda: store.remove(mine, force=chance.random() < 0.7, reason=chance.choice([None, "old"])),
        lambda: store.remove(op, all_versions=chance.random() < 0.3, force=chance.random() < 0.7),
        lambda: store.set_op(op, compat=chance.choice(["major", "minor", "exact"])),
        lambda: store.register_pipeline(name := chance.choice(list(PIPELINES)), PIPELINES[name]),
        lambda: store.remove_pipeline(chance.choice(list(PIPELINES))),
    ]
    asked(chance.choice(changes))


@pytest.mark.slow
@pytest.mark.timeout(300 + OPERATIONS)
def test_as_of_a_position_returns_what_was_returned_then(files: OpStoreServer) -> None:
    chance, store = random.Random(SEED), files.store
    answers: dict[int, Answers] = {}
    for _ in range(OPERATIONS):
        something(store, chance)
        with store.database.read() as connection:
            position = connection.exec_driver_sql("SELECT position FROM counter").scalar_one()
        if position in answers:
            assert snapshot(store) == answers[position], "without a new entry nothing changes"
        answers[position] = snapshot(store)
    assert len(answers) > OPERATIONS / 4
    for position, then in answers.items():
        now = snapshot(store, str(position))
        for question, answer in then.items():
            assert now[question] == answer, f"{question} as of {position}"


def test_as_of_a_time_means_the_last_entry_at_or_before_it(place: Place) -> None:
    noon, moment = datetime(2026, 3, 1, 12, tzinfo=UTC), timedelta(microseconds=1)
    now = noon
    with closing(place.open(clock=lambda: now)) as server:
        store = server.store
        store.push("pca", b"one")
        store.push("pca", b"two")
        now += timedelta(hours=1)
        store.push("pca", b"three")
        for time, number in {
            noon: "1.0.0",
            noon + moment: "1.0.1",  # the clock stood still
            noon + timedelta(hours=1) - moment: "1.0.1",
            noon + timedelta(hours=1): "1.0.2",
        }.items():
            assert store.show("pca", as_of=time.isoformat()).version == number, time
        with pytest.raises(errors.OpNotFound):
            store.show("pca", as_of=(noon - moment).isoformat())
