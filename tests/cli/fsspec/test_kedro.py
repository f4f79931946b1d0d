"""Kedro: a catalog on the store, and the hooks that record which versions were used together."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.io import DataCatalog
from kedro.io.core import DatasetError, VersionNotFoundError
from kedro.pipeline import node, pipeline
from kedro.runner import AbstractRunner, SequentialRunner, ThreadRunner

from opstore_cli import OpStoreClient
from opstore_cli.fsspec import observers
from opstore_cli.kedro import OpStoreHooks
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from tests.support.markdown import ROOT
from tests.support.servers import ADMIN_TOKEN

RUN_ID = "2026-11-30T10.00.00.000Z"
RUN: dict[str, Any] = {"run_id": RUN_ID, "pipeline_names": ["train"]}
EVIDENCE = "Kedro run 2026-11-30T10.00.00.000Z of the pipeline train"


@pytest.fixture
def client(listener: Listener) -> Iterator[OpStoreClient]:
    with OpStoreClient(listener.url, token=ADMIN_TOKEN) as made:
        yield made


@pytest.fixture(autouse=True)
def no_observers_are_left() -> Iterator[None]:
    yield
    assert observers == []


def make_catalog(client: OpStoreClient, versioned: bool = False, **paths: str) -> DataCatalog:
    """Return a catalog of datasets on the store, by name: the path of each, and the options of its writes."""
    config: dict[str, Any] = {}
    for name, path in paths.items():
        config[name] = {"type": "pickle.PickleDataset", "filepath": f"opstore:///{path}", "credentials": "store"}
        if versioned:
            config[name]["versioned"] = True
    credentials = {"store": {"url": client.settings.url, "token": ADMIN_TOKEN}}
    return DataCatalog.from_config(config, credentials)


def run(
    nodes: list[Any],
    catalog: DataCatalog,
    hooks: OpStoreHooks | None = None,
    runner: AbstractRunner | None = None,
    run_id: str = RUN_ID,
) -> None:
    """Run a pipeline as `kedro run` does, with its hooks."""
    manager = _create_hook_manager()
    _register_hooks(manager, (hooks or OpStoreHooks(),))
    made = pipeline(nodes)
    told: dict[str, Any] = {"run_params": {**RUN, "run_id": run_id}, "pipeline": made, "catalog": catalog}
    manager.hook.before_pipeline_run(**told)
    try:
        results = (runner or SequentialRunner()).run(made, catalog, manager, run_id=run_id)
    except Exception as error:
        manager.hook.on_pipeline_error(error=error, **told)
        raise
    manager.hook.after_pipeline_run(run_result=results, **told)


def links(client: OpStoreClient) -> set[str]:
    return {
        f"{each.upstream}@{each.upstream_version} -> {each.downstream}@{each.downstream_version}"
        for each in client.links()
    }


def grow(*inputs: Any) -> list[Any]:
    return [*inputs, "grown"]


def test_a_dataset_saves_versions_and_loads_the_latest_or_a_pinned_one(client: OpStoreClient) -> None:
    catalog = make_catalog(client, pca="pca", pinned="pca@1.0.0", ranged="pca@>=1,<2")
    assert not catalog.exists("pca")
    for value in ("one", "two"):
        catalog["pca"].save(value)
    assert catalog.exists("pca")
    assert [catalog[name].load() for name in ("pca", "pinned", "ranged")] == ["two", "one", "two"]
    with pytest.raises(DatasetError, match="a stored version never changes"):
        catalog["pinned"].save("three")
    with pytest.raises((DatasetError, PermissionError), match="write opstore:///NAME"):
        DataCatalog.from_config({"pca": {"type": "pickle.PickleDataset", "filepath": "opstore://pca"}})["pca"].load()
    with pytest.raises(DatasetError, match="there is nothing at opstore://forest: there is no op forest"):
        make_catalog(client, forest="forest")["forest"].load()


def test_an_object_that_can_not_be_pickled_makes_no_version(client: OpStoreClient) -> None:
    catalog = make_catalog(client, pca="pca")
    with pytest.raises(DatasetError, match="was not serialised"):
        catalog["pca"].save([b"x" * 100_000, lambda: None])
    assert client.ops() == []


def test_versioned_true_is_refused_with_what_to_write(client: OpStoreClient) -> None:
    catalog = make_catalog(client, pca="pca", versioned=True)
    with pytest.raises((DatasetError, VersionNotFoundError), match="remove 'versioned: true' from the catalog"):
        catalog["pca"].load()
    with pytest.raises((DatasetError, PermissionError), match="remove 'versioned: true' from the catalog"):
        catalog["pca"].save("one")
    assert client.ops() == []


@pytest.mark.parametrize(
    "runner", [SequentialRunner, ThreadRunner, lambda: SequentialRunner(is_async=True)], ids=["one", "threads", "async"]
)
def test_a_run_links_what_it_saved_to_what_that_was_made_from(
    client: OpStoreClient, runner: Callable[[], AbstractRunner]
) -> None:
    client.save("raw", "one", format="pickle")
    client.save("raw", "two", format="pickle")
    client.save("other", "unrelated", format="pickle")
    catalog = make_catalog(client, raw="raw@1.0.0", other="other", pca="pca", forest="forest", report="report")
    nodes = [
        node(grow, "raw", "pca", name="fit"),
        node(grow, "pca", "features", name="transform"),  # in memory
        node(grow, ["features", "params:depth"], "forest", name="train"),
        node(grow, ["forest", "other"], "report", name="report"),
    ]
    catalog["params:depth"] = 3
    run(nodes, catalog, runner=runner())
    assert links(client) == {
        "raw@1.0.0 -> pca@1.0.0",
        "pca@1.0.0 -> forest@1.0.0",
        "forest@1.0.0 -> report@1.0.0",
        "other@1.0.0 -> report@1.0.0",
    }
    assert {each.evidence for each in client.links()} == {EVIDENCE}
    entries = len(client.log())
    run(nodes, catalog, runner=runner(), run_id="2026-12-01T10.00.00.000Z")
    assert len(client.log()) == entries  # the same versions, which are linked already


def test_a_run_links_the_version_that_it_loaded_and_not_the_latest(client: OpStoreClient) -> None:
    client.save("pca", "one", format="pickle")
    catalog = make_catalog(client, pca="pca", forest="forest")

    def train(pca: Any) -> Any:
        client.save("pca", "two", format="pickle")  # somebody else pushes meanwhile
        return [pca]

    run([node(train, "pca", "forest", name="train")], catalog)
    assert links(client) == {"pca@1.0.0 -> forest@1.0.0"}


def test_a_run_that_fails_records_nothing(client: OpStoreClient) -> None:
    client.save("pca", "one", format="pickle")
    catalog = make_catalog(client, pca="pca", forest="forest")
    nodes = [
        node(grow, "pca", "forest", name="train"),
        node(lambda forest: 1 / 0, "forest", "score", name="evaluate"),
    ]
    with pytest.raises(ZeroDivisionError):
        run(nodes, catalog)
    assert [str(version) for version in client.versions("forest")] == ["forest@1.0.0"]
    assert client.links() == []


def test_what_is_known_to_be_invalid_stays_so_with_a_warning(
    client: OpStoreClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.save("pca", "one", format="pickle")
    catalog = make_catalog(client, pca="pca", forest="forest")
    nodes = [node(grow, "pca", "forest", name="train")]
    run(nodes, catalog)
    client.link("pca@1.0.0", "forest@1.0.0", valid=False, evidence="drift")
    with caplog.at_level(logging.WARNING, "opstore_cli.kedro"):
        run(nodes, catalog)
    assert "pca@1.0.0 is known to be invalid for forest@1.0.0" in caplog.text
    assert client.validate("pca", "forest").edges[0].basis == "known-invalid"


def test_what_this_process_did_not_see_is_named(client: OpStoreClient, caplog: pytest.LogCaptureFixture) -> None:
    client.save("pca", "one", format="pickle")
    catalog = make_catalog(client, pca="pca", forest="forest")
    hooks = OpStoreHooks()
    told: dict[str, Any] = {
        "run_params": RUN,
        "pipeline": pipeline([node(grow, "pca", "forest", name="train")]),
        "catalog": catalog,
    }
    hooks.before_pipeline_run()
    hooks.after_pipeline_run(**told)
    assert "the dataset pca" in caplog.text
    assert "ParallelRunner" in caplog.text
    assert client.links() == []


def test_a_cached_and_a_transcoded_dataset_are_followed(client: OpStoreClient, tmp_path: Path) -> None:
    client.save("pca", "one", format="pickle")
    catalog = make_catalog(client, pca="pca", forest="forest")
    pickled = {"type": "pickle.PickleDataset", "filepath": str(tmp_path / "features.pkl")}
    store = {"url": client.settings.url, "token": ADMIN_TOKEN}
    catalog = DataCatalog.from_config(
        {
            "pca": {
                "type": "CachedDataset",
                "dataset": {"type": "pickle.PickleDataset", "filepath": "opstore:///pca", "fs_args": store},
            },
            "features@one": pickled,
            "features@two": pickled,
            "forest": {
                "type": "pickle.PickleDataset",
                "filepath": "opstore:///forest",
                "fs_args": {**store, "open_args_save": {"bump": "minor", "tag": "nightly"}},
            },
        }
    )
    run(
        [node(grow, "pca", "features@one", name="transform"), node(grow, "features@two", "forest", name="train")],
        catalog,
    )
    assert links(client) == {"pca@1.0.0 -> forest@1.0.0"}
    assert client.show("forest@nightly").version == "1.0.0"


SETTINGS = """
from opstore_cli.kedro import OpStoreHooks

HOOKS = (OpStoreHooks(),)
"""
REGISTRY = """
from kedro.pipeline import node, pipeline


def fit(pca):
    return {"trees": len(pca)}


def register_pipelines():
    return {"__default__": pipeline([node(fit, "pca", "forest", name="train")])}
"""
CATALOG = """
pca:
  type: pickle.PickleDataset
  filepath: opstore:///pca@1.0.0
forest:
  type: pickle.PickleDataset
  filepath: opstore:///forest
  backend: joblib
"""
PROJECT = """
[tool.kedro]
package_name = "iris"
project_name = "iris"
kedro_init_version = "{version}"
"""
REGISTER = """
import fsspec
fsspec.register_implementation("opstore", "opstore_cli.fsspec.OpStoreFileSystem", clobber=True)
"""


@pytest.mark.slow
def test_kedro_run_in_a_project_records_links(
    client: OpStoreClient, listener: Listener, server: OpStoreServer, tmp_path: Path
) -> None:
    import kedro

    client.save("pca", [1, 2, 3], format="pickle")
    client.save("pca", [1, 2], format="pickle")
    files = {
        "pyproject.toml": PROJECT.format(version=kedro.__version__),
        "src/iris/__init__.py": REGISTER,
        "src/iris/settings.py": SETTINGS,
        "src/iris/pipeline_registry.py": REGISTRY,
        "conf/base/catalog.yml": CATALOG,
        "conf/local/.gitkeep": "",
    }
    for name, text in files.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    environ = {
        **{name: os.environ[name] for name in ("PATH", "OPSTORE_CACHE")},
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "OPSTORE_HOME": str(tmp_path / "home"),
        "OPSTORE_URL": listener.url,
        "OPSTORE_TOKEN": ADMIN_TOKEN,
        "DO_NOT_TRACK": "1",
        "KEDRO_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run"],
        cwd=tmp_path / "project",
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (link,) = client.links()
    assert (str(link.upstream_version), str(link.downstream_version)) == ("1.0.0", "1.0.0")
    assert (link.evidence or "").startswith("Kedro run 2")
    assert (link.evidence or "").endswith("of the pipeline __default__")
    assert client.load("forest", format="joblib", allow_pickle=True) == {"trees": 3}
