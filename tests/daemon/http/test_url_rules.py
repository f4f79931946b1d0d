"""The rules of the application's URLs: what builds URLs of them is compiled for whoever asks, and not at the start."""

from contextlib import closing

import pytest
from flask import url_for
from werkzeug.routing import Rule
from werkzeug.routing.exceptions import BuildError

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import MemorySaver


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the rules whose builders are compiled during the test."""
    found: list[str] = []
    compile_builder = Rule._compile_builder

    def noted(rule: Rule, append_unknown: bool = True) -> object:
        found.append(rule.rule)
        return compile_builder(rule, append_unknown)

    monkeypatch.setattr(Rule, "_compile_builder", noted)
    return found


def test_an_operator_builds_urls_of_a_route_and_nothing_is_compiled_before(compiled: list[str]) -> None:
    with closing(OpStoreServer(MemorySaver(), "sqlite:///:memory:")) as server:
        assert compiled == []
        with server.flask.test_request_context():
            assert url_for("GET /v1/ops/<op>", op="random_forest", limit=3) == "/v1/ops/random_forest?limit=3"
            assert url_for("GET /v1/ops/<op>", op="pca", rule="x") == "/v1/ops/pca?rule=x"
            with pytest.raises(BuildError):
                url_for("GET /v1/ops/<op>")
        assert set(compiled) == {"/v1/ops/<op>"}
