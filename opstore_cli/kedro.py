"""Hooks for Kedro: after a run, record which versions were used together.

In the `settings.py` of a project: `HOOKS = (OpStoreHooks(),)`.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kedro.framework.hooks import hook_impl

from opstore_cli.fsspec import Access, OpStoreFileSystem, observers

_log = logging.getLogger(__name__)


class OpStoreHooks:
    """After a run that succeeded, record a link from each version that a saved version was made from.

    These are the versions of ops that the node loaded, and those that the nodes before it loaded, as far as no dataset
    of opstore is in between. A pair that is known to be invalid stays so, with a warning.
    """

    def __init__(self) -> None:
        self._run = _Run()

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Begin to note which versions are read and stored."""
        self._end()
        self._run = _Run()
        observers.append(self._run.note)

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Any) -> None:
        """Note that what this thread reads from here on is this dataset."""
        self._run.loading.key = (node.name, dataset_name)

    @hook_impl
    def after_dataset_loaded(self) -> None:
        """Note that the dataset is loaded."""
        self._run.loading.key = None

    @hook_impl
    def after_pipeline_run(self, run_params: Mapping[str, Any], pipeline: Any, catalog: Any) -> None:
        """Record the links."""
        self._end()
        names = run_params.get("pipeline_names") or [run_params.get("pipeline_name") or "__default__"]
        run = run_params.get("run_id") or run_params.get("session_id")
        evidence = f"Kedro run {run} of the pipeline {', '.join(names)}"
        for upstream, downstream in self._run.pairs(pipeline.nodes, catalog):
            _link(upstream, downstream, evidence)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Record nothing."""
        self._end()

    def _end(self) -> None:
        if self._run.note in observers:
            observers.remove(self._run.note)


class _Run:
    """The versions that the nodes of one run loaded and saved."""

    def __init__(self) -> None:
        self.loading = threading.local()  # `key`: the node and dataset that this thread loads
        self._loaded: dict[tuple[str, str], Access] = {}
        self._saved: dict[str, Access] = {}  # by path; no two nodes of a pipeline save one dataset

    def note(self, access: Access) -> None:
        """Note an access to the store."""
        key = getattr(self.loading, "key", None)
        if access.is_write:
            self._saved[access.path] = access
        elif key is not None:
            self._loaded[key] = access

    def pairs(self, nodes: Iterable[Any], catalog: Any) -> Iterator[tuple[Access, Access]]:
        """Yield the upstream and the downstream version of each link. `nodes` are in the order of the data flow."""
        sources: dict[str, set[Access]] = {}  # of a dataset that is not in the store: what it was made from
        for node in nodes:
            loaded: set[Access] = set()
            for name in node.inputs:
                if _path(catalog, name) is None:
                    loaded |= sources.get(_plain(name), set())
                elif (node.name, name) in self._loaded:
                    loaded.add(self._loaded[node.name, name])
                else:
                    _warn_unknown(name, "loaded")
            for name in node.outputs:
                if (path := _path(catalog, name)) is None:
                    sources[_plain(name)] = loaded
                elif path in self._saved:
                    yield from ((each, self._saved[path]) for each in sorted(loaded, key=lambda access: access.path))
                else:
                    _warn_unknown(name, "saved")


def _link(upstream: Access, downstream: Access, evidence: str) -> None:
    client, up, down = downstream.client, upstream.version, downstream.version
    if up.op == down.op or upstream.client.address != client.address:
        return
    found = client.validate(str(up), str(down)).edges[0]
    if found.basis == "known-invalid":
        _log.warning("opstore: %s is known to be invalid for %s: %s", up, down, found.reason)
    elif found.basis != "link":
        client.link(str(up), str(down), evidence=evidence)
        _log.info("opstore: %s is valid for %s", up, down)


def _path(catalog: Any, name: str) -> str | None:
    """Return the path of a dataset in the store; None for any other dataset."""
    dataset = catalog.get(name)
    dataset = getattr(dataset, "_dataset", dataset)  # a CachedDataset wraps the real one
    fs, path = getattr(dataset, "_fs", None), getattr(dataset, "_filepath", None)
    return str(fs._strip_protocol(str(path))) if isinstance(fs, OpStoreFileSystem) else None


def _plain(name: str) -> str:
    """Return the name of a dataset without its transcoding: `features@pandas` and `features@spark` are one."""
    return name.partition("@")[0]


def _warn_unknown(name: str, what: str) -> None:
    _log.warning(
        "opstore: no links are recorded for the dataset %s, because this process did not see which version was %s. "
        "A run with ParallelRunner reads and writes in other processes; use SequentialRunner or ThreadRunner.",
        name,
        what,
    )
