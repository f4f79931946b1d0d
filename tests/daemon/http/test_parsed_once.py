"""Names, references and versions are parsed once: where they enter the client, and where they enter the daemon."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.names import Name
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import Version, VersionNumber
from tests.support.in_process import InProcessClient

Checks = dict[str, Counter[str]]


@pytest.fixture
def checks(memory_server: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> Checks:
    """Return how often each text is checked, as `KIND TEXT`, on either side of the requests of an InProcessClient."""
    sides: Checks = {"client": Counter(), "daemon": Counter()}
    side = ["client"]

    def count(owner: type, method: str, kind: str, text_of: Callable[..., str | None]) -> None:
        original = getattr(owner, method).__func__

        def counted(cls: type, *arguments: Any) -> Any:
            text = text_of(*arguments)
            if text is not None:
                sides[side[0]][f"{kind} {text}"] += 1
            return original(cls, *arguments)

        monkeypatch.setattr(owner, method, classmethod(counted))

    count(Name, "check", "name", lambda text: text)
    count(Reference, "of", "reference", lambda op, selector: op if selector is None else f"{op}@{selector}")
    for owner, kind in ((Version, "subversions"), (VersionNumber, "version")):
        count(owner, "parse", kind, lambda text: text if isinstance(text, str) else None)
    request = InProcessClient.request

    def in_daemon(self: InProcessClient, *arguments: Any, **options: Any) -> Any:
        side[0] = "daemon"
        try:
            return request(self, *arguments, **options)
        finally:
            side[0] = "client"

    monkeypatch.setattr(InProcessClient, "request", in_daemon)
    return sides


def test_a_push_checks_each_text_once_on_each_side(memory_server: OpStoreServer, checks: Checks) -> None:
    store, client = memory_server.store, InProcessClient(memory_server)
    store.push("scaler", b"bytes")
    store.push("scaler", b"other bytes")
    store.push("forest", b"bytes")
    for counter in checks.values():
        counter.clear()
    client.push(
        "pca", b"bytes", valid_for=["forest@any"], new_ops="major", valid_with=["scaler@1.0.1"], tags=["stable"]
    )
    request = ["name pca", "name stable", "reference forest@any", "name forest"]
    request += ["reference scaler@1.0.1", "name scaler", "version 1.0.1"]
    response = ["version 1.0.0", "version 1.0.1"]  # the new version, and the upstream end of a link
    assert checks == {"client": Counter(request + response), "daemon": Counter(request)}


def test_a_validation_checks_each_text_once_on_each_side(memory_server: OpStoreServer, checks: Checks) -> None:
    store, client = memory_server.store, InProcessClient(memory_server)
    store.push("pca", b"bytes")
    store.push("forest", b"bytes")
    for counter in checks.values():
        counter.clear()
    client.validate("pca@1.0.0", "forest")
    request = ["reference pca@1.0.0", "name pca", "version 1.0.0", "reference forest", "name forest"]
    response = ["version 1.0.0"] * 2  # of the upstream and of the downstream
    assert checks == {"client": Counter(request + response), "daemon": Counter(request)}
