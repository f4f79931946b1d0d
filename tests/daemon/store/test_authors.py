"""Each entry of the journal has the author whom the request named, or none."""

from contextlib import closing
from pathlib import Path

import msgspec

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import FileSaver
from opstore_daemon.store.idempotency import IdempotentRequest
from tests.support.schema import turn_older
from tests.support.statements import counted, without_reserved_keys


def test_every_kind_of_entry_has_the_author_of_its_request(memory: OpStoreServer) -> None:
    ana, zoe = memory.store.by("ana"), memory.store.by("Zoë <zoe@example.org>")
    ana.register_pipeline("churn", ["pca", "forest"])
    ana.register("forest", subversions="aaaa.aaaa.aaaa")
    zoe.push("pca", b"one", valid_for=["forest@any"], labels={"a": "1"}, tags=["best"])
    ana.link("pca", "forest", valid=False)
    ana.unlink("pca", "forest")
    zoe.edit("pca", message="new", labels={"a": "2"})
    zoe.set_op("pca", compat="minor", description="text")
    memory.store.yank("pca", "bad")
    ana.unyank("pca@1.0.0")
    zoe.untag("pca", "best")
    ana.remove_pipeline("churn")
    found = [(entry.action, (entry.author or "nobody").partition(" ")[0]) for entry in memory.store.log()]
    assert found == [
        ("pipeline removed", "ana"),
        ("untagged", "Zoë"),
        ("unyanked", "ana"),
        ("yanked", "nobody"),
        ("described", "Zoë"),
        ("level", "Zoë"),
        ("edited", "Zoë"),
        ("revoked for", "ana"),
        ("invalid for", "ana"),
        ("tagged", "Zoë"),
        ("valid for", "Zoë"),
        ("stored", "Zoë"),
        ("registered", "ana"),
        ("pipeline registered", "ana"),
    ]
    assert [entry.author for entry in memory.store.log("forest")][-1] == "ana"
    assert [entry.author for entry in memory.store.entries(None, 2)] == ["ana", "Zoë <zoe@example.org>"]


def test_the_author_of_a_version_is_who_stored_its_bytes(memory: OpStoreServer) -> None:
    store = memory.store
    assert store.by("ana").register("pca", subversions="aaaa.bbbb.cccc").author == "ana"
    registered = store.show("pca").position
    pushed = store.by("zoe").push("pca", b"one", subversions="aaaa.bbbb.cccc")
    assert (pushed.author, store.show("pca").author) == ("zoe", "zoe")
    assert store.show("pca", as_of=f"{registered}").author == "ana"
    assert store.by("eve").push("pca", b"one").author == "zoe", "nothing new was pushed"
    assert store.push("pca", b"two", message="two").author is None
    assert (store.show("pca").author, store.show("pca").message) == (None, "two")
    assert [version.author for version in store.versions("pca").versions] == [None, "zoe"]


def test_a_repeated_request_keeps_its_first_author(memory: OpStoreServer) -> None:
    request = IdempotentRequest("me", "key", "request")
    first = memory.store.idempotent(request).by("ana").push("pca", b"one")
    assert memory.store.idempotent(request).by("zoe").push("pca", b"one") == first
    assert [(entry.action, entry.author) for entry in memory.store.log()] == [("stored", "ana")]


def test_an_author_takes_no_further_statement(memory: OpStoreServer) -> None:
    memory.store.push("pca", b"first")
    counts = []
    for number, author in enumerate([None, "ana"]):
        with counted(memory) as statements:
            memory.store.by(author).push("pca", b"%d" % number, labels={"a": "1"}, tags=["best"])
            memory.store.versions("pca")
            memory.store.log("pca")
        counts.append(len(without_reserved_keys(statements)))
    assert counts[0] == counts[1]


def test_entries_of_an_older_database_have_no_author_and_stay_in_the_journals_of_their_ops(tmp_path: Path) -> None:
    path = tmp_path / "opstore.db"
    with closing(OpStoreServer(FileSaver(tmp_path / "blobs"), f"sqlite:///{path}")) as server:
        store = server.store.by("ana")
        store.register("forest", subversions="aaaa.aaaa.aaaa")
        store.push("forest", b"one", subversions="aaaa.aaaa.aaaa")
        store.push("pca", b"one", labels={"a": "1"}, valid_for=["forest"], tags=["best"])
        store.edit("pca", labels={"b": "2"})
        store.edit("pca", unlabel=["a"])
        store.edit("pca", message="new")
        store.set_op("pca", description="text", compat="minor")
        store.yank("pca", "bad")
        store.unyank("pca@1.0.0")
        store.register_pipeline("churn", ["pca", "forest"])
        before = {name: store.log(name) for name in ("pca", "forest", "churn")}
    turn_older(path, "0008")
    with closing(OpStoreServer(FileSaver(tmp_path / "blobs"), f"sqlite:///{path}")) as server:
        for name, entries in before.items():
            assert server.store.log(name) == [msgspec.structs.replace(entry, author=None) for entry in entries]
        assert [len(entries) for entries in before.values()] == [10, 3, 1]
        server.store.by("zoe").tag("pca", "next")
        assert [entry.author for entry in server.store.log("pca", limit=2)] == ["zoe", None]
        assert server.store.show("pca").author is None
