"""Suggest the method or the argument that a mistaken call of the client probably meant."""

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

# Names in other libraries, and what does the same here. Python itself suggests names with a similar spelling.
_METHODS: dict[str, str] = {
    "client.push(op, source) stores bytes, a file or a folder; client.save(op, obj) a Python object": (
        "add create put store upload publish commit log_model log_artifact save_model register_model dump"
    ),
    "client.pull(reference, to) writes a version to a path; client.load(reference) returns a Python object": (
        "get download fetch checkout restore load_model read"
    ),
    "opstore_cli.sklearn.save_pipeline(client, name, fitted) saves a pipeline of scikit-learn": "save_pipeline",
    "opstore_cli.sklearn.load_pipeline(client, name) loads a pipeline of scikit-learn": "load_pipeline",
    "client.path(reference) returns the path of a copy in a cache": "snapshot_download download_artifacts",
    "client.ops() lists the ops, client.versions(op) the versions of one": "list ls search find models list_models",
    "client.show(reference) returns the record of one version": "inspect info describe stat get_version",
    "client.log() lists what changed, client.versions(op) the versions of an op": "history changes reflog",
    "client.validate_pipeline(pipeline) gives the verdict of a pipeline": "check gate",
    "client.verify(pipeline, command_or_function) runs a test of the versions and records what it showed": (
        "test evaluate"
    ),
    "client.yank(reference, reason) retires a version": "deprecate archive retire",
    "client.remove(reference) removes a version": "delete rm",
    "client.collect_garbage() frees what no version refers to": "gc prune cleanup",
    "client.tag(reference, tag) moves a tag to a version": "alias promote stage set_tag",
    "client.edit(reference, labels=...) sets labels": "label annotate set_label update",
    "client.link(upstream, downstream) records that two versions are valid together": "approve allow connect",
    "client.resolve(pipeline).lock() returns a lock": "lock freeze pin",
    "client.diff(one, other) compares two versions": "compare",
    "client.affected(reference) lists what to retrain": "stale outdated retrain",
    "OpStoreClient(url, token=...) connects to a daemon": "connect login set_url",
}
_MEANT = {name: use for use, names in _METHODS.items() for name in names.split()}

_ARGUMENTS = {
    "msg": "message", "comment": "message", "note": "message", "force": "overwrite", "output": "to", "path": "to",
    "dest": "to", "destination": "to", "file": "source", "data": "source", "body": "source", "model": "obj",
    "metadata": "labels", "aliases": "tags", "allow_code": "allow_pickle", "trust": "trusted", "ref": "reference",
}  # fmt: skip


def no_method(kind: type, name: str) -> AttributeError:
    """Return the error for an attribute that the client does not have; its note names what does the same."""
    error = AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
    if name in _MEANT:
        error.add_note(_MEANT[name])
    return error


def wrong_call(method: Callable[..., Any], reason: TypeError, named: Iterable[str]) -> TypeError:
    """Return the error for a call that does not fit the signature; its note names the argument that was meant."""
    called = f"client.{method.__name__}()"
    error = TypeError(f"{called}: {reason}")
    known = [name for name in inspect.signature(method).parameters if name != "self"]
    unknown = [name for name in named if name not in known]
    similar = [_similar(name, known) for name in unknown]
    if unknown and all(similar):
        error.add_note(f"did you mean {', '.join(f'{name}=' for name in similar)}?")
    elif unknown:
        error.add_note(f"{called} takes {', '.join(known) or 'no arguments'}")
    elif method.__name__ == "validate":
        error.add_note("client.validate_pipeline(pipeline) gives the verdict of a pipeline")
    return error


def _similar(name: str, known: list[str]) -> str | None:
    if (meant := _ARGUMENTS.get(name)) in known:
        return meant
    return next(iter(get_close_matches(name, known, n=1)), None)
