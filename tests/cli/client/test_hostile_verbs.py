"""Every verb of the client against a hostile server: it returns the answer, or raises an error of opstore."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors
from tests.support import hostile_verbs
from tests.support.examples import is_all
from tests.support.figures import few
from tests.support.hostile_server import (
    MALFORMED,
    REFUSED,
    Answer,
    Change,
    HostileClient,
    Mutation,
    Source,
    mutate,
    mutations,
    with_document,
)
from tests.support.servers import open_server

VERBS, RESUMING, NONE_WITHOUT_OP = hostile_verbs.ALL, hostile_verbs.RESUMING, hostile_verbs.NONE_WITHOUT_OP
# What a caller may see: the response was refused, or no daemon was recognized in it.
REFUSALS = (errors.UnexpectedResponse, errors.Unreachable, errors.IntegrityFailure, errors.LockConflict)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    server = open_server(tmp_path_factory.mktemp("hostile"))
    source = Source(server)
    hostile_verbs.fill(HostileClient(source))
    yield source
    server.close()


def call(source: Source, name: str, change: Change | None = None) -> object:
    """Call the verb on responses that are changed; return its result."""
    verb, client = VERBS[name], HostileClient(source)
    source.change = None
    if verb.prepare is not None:
        verb.prepare(client)
    source.sent, source.change = [], change
    try:
        return verb.call(client)
    finally:
        source.change = None


def nth(place: int, change: Change) -> Change:
    """Change only the response at this place."""
    seen = iter(range(1_000_000))
    return lambda answer: change(answer) if next(seen) == place else answer


def test_every_verb_of_the_client_is_called() -> None:
    assert set(hostile_verbs.VERBS) == hostile_verbs.public_verbs()


@pytest.mark.parametrize("name", few(12, VERBS))
def test_a_verb_accepts_the_true_response_with_unknown_keys(source: Source, name: str) -> None:
    def more(answer: Answer) -> Answer:
        document = json.loads(answer.body) if answer.is_json else None
        return with_document(answer, {**document, "newer": {"x": [1]}}) if isinstance(document, dict) else answer

    call(source, name, more)


@pytest.mark.parametrize("name", few(12, VERBS))
def test_no_verb_accepts_a_failure_as_success(source: Source, name: str) -> None:
    call(source, name)
    count = len(source.sent)
    for title, change in REFUSED.items():
        for place in range(count):
            failure = failure_of(source, name, nth(place, change))
            if failure is None:
                assert name in RESUMING or (name in NONE_WITHOUT_OP and title == "a template"), (title, place)
                continue
            assert not isinstance(failure, errors.AnswerIsNo)
            assert "rm -rf" not in failure.advice
            assert str(failure).isprintable()


def failure_of(source: Source, name: str, change: Change) -> errors.OpStoreError | None:
    try:
        call(source, name, change)
    except errors.OpStoreError as failure:
        return failure
    return None


@pytest.mark.parametrize("name", few(12, VERBS))
def test_no_verb_accepts_anything_else_as_a_record(source: Source, name: str) -> None:
    call(source, name)
    places = [place for place, answer in enumerate(source.sent) if answer.is_json]
    for change in MALFORMED.values():
        for place in places:
            failure = failure_of(source, name, nth(place, change))
            assert isinstance(failure, REFUSALS) or (failure is None and name in RESUMING)


@pytest.fixture(scope="module")
def choices(source: Source) -> list[tuple[str, int, Mutation]]:
    """All mutations of the true responses to each verb: (verb, place of the response, mutation)."""
    found: list[tuple[str, int, Mutation]] = []
    for name in VERBS:
        call(source, name)
        for place, answer in enumerate(source.sent):
            if answer.is_json:
                document = json.loads(answer.body)
                found += [(name, place, each) for each in mutations(document, is_status=name == "status")]
    return found


@pytest.mark.slow
def test_there_is_a_mutation_for_each_verb_with_a_record(choices: list[tuple[str, int, Mutation]]) -> None:
    without_record = {"untag", "remove_pipeline", "end_sessions", "pull", "get_op_bytes_for_version"}
    assert {name for name, _, _ in choices} == set(VERBS) - without_record


@pytest.mark.slow
def test_every_value_in_a_response_is_checked(source: Source, choices: list[tuple[str, int, Mutation]]) -> None:
    """Check all mutations in `make test-all`, and every sixteenth in `make test`."""
    for choice in choices[:: 1 if is_all() else 16]:
        check(source, *choice)


def check(source: Source, name: str, place: int, mutation: Mutation) -> None:
    """Call the verb with one mutation of one response."""

    changed = False

    def change(answer: Answer) -> Answer:
        nonlocal changed
        try:
            answer = with_document(answer, mutate(json.loads(answer.body), mutation))
        except (LookupError, TypeError):
            return answer  # the list is shorter than it was
        changed = True
        return answer

    # A run of exactly this set may be one of another pipeline with the same edges.
    is_exact = mutation.key in VERBS[name].exact and mutation.path != ("run", "pipeline")
    must_refuse = mutation.wrong or is_exact
    try:
        result = call(source, name, nth(place, change))
    except REFUSALS:
        return
    except errors.VersionNotFound:
        assert not mutation.wrong  # another version was asked for next, which the server does not have
        return
    assert not (changed and must_refuse), f"{name} takes {mutation}: {result!r:.500}"


def test_the_verbs_use_the_server_of_this_module(source: Source, tmp_path: Path) -> None:
    assert call(source, "pipeline_exists") is True
    assert list(tmp_path.iterdir()) == []
