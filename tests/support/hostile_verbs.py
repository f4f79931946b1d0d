"""Every verb of the client with a call of it, for responses that a hostile server changed."""

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from opstore_cli import BaseOpStoreClient
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import Lock, LockedVersion, NewBisection, NewUpload, Upload
from tests.support.new_run import new_run
from tests.support.random_bytes import random_bytes

BYTES = b"the bytes of pca"
A_RUN = new_run("pca@1.0.0", "forest@1.0.0", command=("pytest",))
FOUND = NewBisection(command=("pytest",), good=4, bad=13, last_good=4, first_bad=12)

Call = Callable[[BaseOpStoreClient], object]


@dataclass(frozen=True)
class Verb:
    """A call. `prepare` runs with true responses before it. `exact` are keys whose value is that of the question."""

    call: Call
    exact: frozenset[str] = frozenset()
    prepare: Call | None = None


def _verb(call: Call, *exact: str, prepare: Call | None = None) -> Verb:
    return Verb(call, frozenset(exact), prepare)


def fill(client: BaseOpStoreClient) -> None:
    """Store what the calls ask for."""
    client.push("pca", BYTES, subversions="aaaa.aaaa.aaaa", labels={"run": "1"}, message="first", tags=["stable"])
    client.push("pca", b"newer bytes", labels={"run": "2"})
    client.push("forest", b"forest", message="a forest", valid_with=["pca@1.0.0"])
    client.save("settings", {"depth": 3}, format="json")
    client.link("pca@1.0.0", "forest@1.0.0", evidence="run 4711")
    client.link("pca", "forest@any")
    client.register_pipeline("churn", ["pca", "forest"])
    client.record_run("churn", A_RUN)
    client.yank("pca@1.0.1", "drift")
    client.unyank("pca@1.0.1")
    client.record_bisection("churn", FOUND)


def prepare_for_commands(client: BaseOpStoreClient) -> None:
    """Restore what the commands remove."""
    client.tag("pca@1.0.0", "old")
    client.link("pca@1.0.1", "forest@1.0.0")
    client.unyank("pca@1.0.1")
    client.link("pca", "forest@any")
    client.push("settings", b"older settings", subversions="dddd.dddd.dddd")
    client.link("settings@1.0.0", "forest@1.0.0")
    _churn(client)


def _churn(client: BaseOpStoreClient) -> object:
    return client.register_pipeline("gone", ["pca", "forest"])


def _lock(client: BaseOpStoreClient) -> object:
    pinned = [LockedVersion(op=op, subversions=client.show(op).subversions) for op in ("pca", "forest")]
    return client.check_lock("churn", Lock(edges=(("pca", "forest"),), versions=tuple(pinned)))


def _locked(*ops: tuple[str, str, bytes]) -> Lock:
    pinned = [
        LockedVersion(op=op, subversions=subversions, digest=digest_of(data), size=len(data))
        for op, subversions, data in ops
    ]
    return Lock(edges=(), versions=tuple(pinned))


def _pull_lock(client: BaseOpStoreClient) -> object:
    with TemporaryDirectory() as folder:
        versions = client.pull_lock(_locked(("pca", "aaaa.aaaa.aaaa", BYTES)), folder)
        assert (Path(folder) / "pca").read_bytes() == BYTES
        return versions


def _upgrade(client: BaseOpStoreClient) -> object:
    lock = client.resolve("churn").lock()
    return client.resolve("churn", lock=lock, upgrade="pca")


def _empty_cache(client: BaseOpStoreClient) -> None:
    """Have the next pull request the bytes."""
    shutil.rmtree(client._cache().folder, ignore_errors=True)


def _start_pull(client: BaseOpStoreClient) -> object:
    with client.start_pull("pca@1.0.0", resume=True) as pull:
        return pull.to_bytes()


_NODES = [(SimpleNamespace(name="pca"), SimpleNamespace(name="forest"))]
_PIPELINE: Any = SimpleNamespace(name="churn", get_all_op_links=lambda: _NODES)

VERBS: dict[str, Verb] = {
    "push": _verb(
        lambda client: client.push("pca", BYTES, subversions="aaaa.aaaa.aaaa"), "op", "digest", "size", "subversions"
    ),
    "register": _verb(lambda client: client.register("stateless", subversions="cccc.cccc.cccc"), "op", "subversions"),
    "pull": _verb(lambda client: client.pull("pca@1.0.0")),
    "pull_lock": _verb(_pull_lock, "op", "subversions", "digest", "size"),
    "start_pull": _verb(_start_pull, "op", "version", "digest", "size"),
    "show": _verb(lambda client: client.show("pca@1.0.0"), "op", "version"),
    "diff": _verb(lambda client: client.diff("pca@1.0.0", "pca@1.0.1")),
    "details": _verb(lambda client: client.details("pca@1.0.0")),
    "versions": _verb(lambda client: client.versions("pca", valid_for=["forest"]), "op"),
    "edit": _verb(lambda client: client.edit("pca@1.0.1", labels={"stage": "test"}), "op", "version"),
    "yank": _verb(lambda client: client.yank("pca@1.0.1", "bad"), "op", "version"),
    "unyank": _verb(lambda client: client.unyank("pca@1.0.1"), "op", "version"),
    "remove": _verb(lambda client: client.remove("pca@1.0.0", dry_run=True), "op", "version"),
    "tag": _verb(lambda client: client.tag("pca@1.0.0", "stable"), "op", "tag", "version"),
    "untag": _verb(lambda client: client.untag("pca", "old"), prepare=lambda client: client.tag("pca@1.0.0", "old")),
    "tags": _verb(lambda client: client.tags("pca"), "op"),
    "ops": _verb(lambda client: client.ops()),
    "op": _verb(lambda client: client.op("pca"), "name"),
    "set_op": _verb(lambda client: client.set_op("pca", compat="exact"), "name"),
    "log": _verb(lambda client: client.log("pca")),
    "register_pipeline": _verb(
        lambda client: client.register_pipeline("churn", ["pca", "forest"]), "name", "ops", "edges"
    ),
    "pipelines": _verb(lambda client: client.pipelines(), "ops", "edges"),
    "pipeline": _verb(lambda client: client.pipeline("churn"), "name", "ops", "edges"),
    "remove_pipeline": _verb(lambda client: client.remove_pipeline("gone"), prepare=_churn),
    "link": _verb(
        lambda client: client.link("pca@1.0.0", "forest@1.0.0", evidence="run 4711"),
        "upstream",
        "downstream",
        "upstream_version",
        "downstream_version",
    ),
    "unlink": _verb(
        lambda client: client.unlink("pca@1.0.1", "forest@1.0.0"),
        "upstream",
        "downstream",
        "upstream_version",
        "downstream_version",
        prepare=lambda client: client.link("pca@1.0.1", "forest@1.0.0"),
    ),
    "links": _verb(lambda client: client.links(upstream="pca", downstream="forest"), "upstream", "downstream"),
    "validate": _verb(lambda client: client.validate("pca@1.0.0", "forest@1.0.0"), "op", "version"),
    "validate_pipeline": _verb(lambda client: client.validate_pipeline("churn"), "pipeline", "op", "version"),
    "wait": _verb(lambda client: client.wait("churn", seconds=0), "pipeline", "op", "version"),
    "resolve": _verb(lambda client: client.resolve("churn"), "pipeline", "op", "edges"),
    "check_lock": _verb(_lock),
    "affected": _verb(lambda client: client.affected("pca@1.0.0")),
    "record_run": _verb(
        lambda client: client.record_run("churn", A_RUN), "pipeline", "command", "script", "result", "output_digest"
    ),
    "runs": _verb(lambda client: client.runs("churn", script=A_RUN.script), "pipeline", "script"),
    "run": _verb(lambda client: client.run(client.runs(limit=1)[0].position), "position"),
    "run_output": _verb(lambda client: client.run_output(client.runs(limit=1)[0].position)),
    "record_bisection": _verb(
        lambda client: client.record_bisection("churn", FOUND), "pipeline", "command", "good", "bad", "last_good"
    ),
    "bisections": _verb(lambda client: client.bisections("churn"), "pipeline"),
    "set_history": _verb(lambda client: client.set_history("churn", since=2), "pipeline", "op", "edges"),
    "fsck": _verb(lambda client: client.fsck(read_data=True)),
    "status": _verb(lambda client: client.status()),
    "collect_garbage": _verb(lambda client: client.collect_garbage(grace=0), "dry_run", "freed"),
    "invite": _verb(lambda client: client.invite()),
    "end_sessions": _verb(lambda client: client.end_sessions()),
    "uploads": _verb(
        lambda client: client.uploads(),
        prepare=lambda client: client._api.request("POST", routes.UPLOADS, Upload, body=NewUpload(size=9)),
    ),
    "save": _verb(lambda client: client.save("settings", {"depth": 3}, format="json"), "op", "digest", "size"),
    "load": _verb(lambda client: client.load("settings@1.0.0"), prepare=_empty_cache),
    "path": _verb(lambda client: client.path("pca@1.0.0"), "op", "version", prepare=_empty_cache),
    "get_all_versions_of_op": _verb(lambda client: client.get_all_versions_of_op("pca"), "op"),
    "get_validated_links": _verb(lambda client: client.get_validated_links("forest", "pca"), "op", "upstream"),
    "get_op_bytes_for_version": _verb(lambda client: client.get_op_bytes_for_version("pca", "aaaa.aaaa.aaaa")),
    "save_op_bytes": _verb(lambda client: client.save_op_bytes("pca", "aaaa.aaaa.aaaa", BYTES), "op", "digest", "size"),
    "register_valid_link": _verb(lambda client: client.register_valid_link("forest", "pca", "aaaa.aaaa.aaaa"), "op"),
    "pipeline_exists": _verb(lambda client: client.pipeline_exists("churn"), "name"),
    "register_new_pipeline": _verb(lambda client: client.register_new_pipeline(_PIPELINE), "name", "ops", "edges"),
}
# A transfer resumes after a response that is not a daemon's, from true ones.
RESUMING = {"fsck", "start_pull", "pull_lock", "push a stream", "pull", "load", "path", "get_op_bytes_for_version"}
# A server may say that there is no such op.
NONE_WITHOUT_OP = {"get_all_versions_of_op", "get_validated_links"}
# Further calls of a verb, which send other requests.
FURTHER: dict[str, Verb] = {
    "push a stream": _verb(lambda client: client.push("stream", io.BytesIO(random_bytes(1_100_000))), "op"),
    "validate with any version": _verb(lambda client: client.validate("pca@1.0.0", "forest"), "op"),
    "validate the exact set": _verb(
        lambda client: client.validate_pipeline("churn", use=["pca@1.0.0"], exact_set=True), "pipeline", "op", "version"
    ),
    "wait for an edge": _verb(lambda client: client.wait("pca@1.0.0", "forest", seconds=0), "op"),
    "resolve with use": _verb(lambda client: client.resolve("churn", use=["pca@1.0.0"]), "pipeline", "op", "edges"),
    "upgrade": _verb(_upgrade, "pipeline", "op", "edges"),
    "tags with history": _verb(lambda client: client.tags(history=True)),
    "links with history": _verb(lambda client: client.links("pca", history=True)),
    "versions of a line": _verb(lambda client: client.versions("pca@1", limit=1), "op"),
}
ALL = {**VERBS, **FURTHER}


def public_verbs() -> set[str]:
    """Return the names of all public methods of the client that send a request, except its interface to a transport."""
    names = {name for name in dir(BaseOpStoreClient) if not name.startswith("_")}
    return {name for name in names if callable(getattr(BaseOpStoreClient, name))} - {
        "request",
        "read_lock",
        "write_lock",
        "verify",  # it and `bisect` send requests by other verbs, and skip a set that can't be pulled
        "bisect",
    }
