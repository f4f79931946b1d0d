"""Import the models of an MLflow registry: each version with its files, version number, aliases and run.

    MLFLOW_TRACKING_URI=http://mlflow.example.com python move.py [NAME ...]

Run it in an environment that has both `mlflow` (or `mlflow-skinny`) and `opstore`. Run it again to import what is new:
nothing is made twice. A model becomes an op of its name in lower case, and version 7 of a model becomes the version
1.0.x that has the label `mlflow_version=7`.
"""

import re
import sys
import tempfile
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient

from opstore_cli import OpStoreClient


def legal(name: str) -> str:
    """Return a legal opstore name: lower-case letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^a-z0-9._-]+", "_", name.lower()).strip("._-")


def move(registry: MlflowClient, store: OpStoreClient, name: str) -> None:
    """Import all versions of one model, oldest first."""
    found = registry.search_model_versions(f"name='{name}'")
    aliases = registry.get_registered_model(name).aliases  # alias -> version
    for version in sorted(found, key=lambda one: int(one.version)):
        with tempfile.TemporaryDirectory() as folder:
            files = mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}", dst_path=folder)
            pushed = store.push(
                legal(name),
                Path(files),
                # The version is made from these, so that importing it again makes nothing new.
                fields={"major": {"mlflow": name}, "patch": {"mlflow_version": str(version.version)}},
                labels={"mlflow_version": str(version.version), "mlflow_run": version.run_id or "none"},
                message=version.description or None,
                tags=[legal(alias) for alias, number in aliases.items() if str(number) == str(version.version)],
            )
        print(
            f"{name} version {version.version}: {pushed.op}@{pushed.version}{'' if pushed.created else ' (was there)'}"
        )


if __name__ == "__main__":
    registry = MlflowClient()
    names = sys.argv[1:] or [model.name for model in registry.search_registered_models()]
    with OpStoreClient() as store:
        for name in names:
            move(registry, store, name)
