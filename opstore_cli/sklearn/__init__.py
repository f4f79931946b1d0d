"""Pipelines of scikit-learn as ops: `save_pipeline`, `load_pipeline` and `assemble_pipeline`.

Each step is an op, so that steps are versioned, linked, validated and loaded one by one. It needs the extra `sklearn`,
which is imported when one of the functions is called.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_daemon.protocol.records import Lock
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.times import When

if TYPE_CHECKING:
    from opstore_cli.client.base import BaseOpStoreClient
    from opstore_cli.sklearn.records import SavedPipeline

__all__ = ["SkippedVersionsWarning", "assemble_pipeline", "load_pipeline", "save_pipeline"]


class SkippedVersionsWarning(UserWarning):
    """Warns that newer versions of steps were not loaded, because they are not valid with the others.

    `pipeline` is its name, and `skipped` has the `SkippedVersion`s, each with its reason.
    """

    def __init__(self, pipeline: str, skipped: tuple[Any, ...]) -> None:
        super().__init__(pipeline, skipped)
        self.pipeline = pipeline
        self.skipped = skipped

    def __str__(self) -> str:
        from opstore_cli.output.escaping import escape_controls

        texts = (f"{each.op}@{each.version}: {each.reason}" for each in self.skipped)
        return escape_controls(f"newer versions in {self.pipeline} were not loaded: {'; '.join(texts)}")


def save_pipeline(
    client: "BaseOpStoreClient",
    name: str,
    fitted: Any,
    *,
    format: str = "skops",  # noqa: A002 - the record's word
) -> "SavedPipeline":
    """Store each step of a fitted Pipeline as a version of an op, and link the steps that were fitted together.

    The step `pca` becomes the op `NAME.pca`, those of nested pipelines, column transformers and feature unions ops such
    as `NAME.columns.scale`. The op `NAME.structure` has how they are put together. A step whose bytes are unchanged
    makes no version. All objects are written and checked before the first one is stored, and each version is stored
    together with its links, so an interrupted call leaves no set valid that was not fitted together.

    Args:
        client: the client of the store.
        name: the name of the pipeline, which is registered. All ops have it as their prefix.
        fitted: the Pipeline of scikit-learn, with steps that were fitted together.
        format: `skops`, or a format whose files run code when they are loaded: `joblib`, `cloudpickle` or `pickle`.

    Returns:
        SavedPipeline: a sequence of `Pushed`, in the order of the data. `saved["pca"]` is that of one step, by the name
            that `get_params` has: `saved["columns__scale"]`.

    Raises:
        EstimatorRefused: it is no Pipeline, is not fitted, or has a step that can't be stored.
        InvalidName: a step has a name that can't be an op.
        PipelineConflict: the name has another graph, for example one with another step.
        OpInUse: an op of that name has bytes of another kind.
        BytesYanked: a step has the bytes of a yanked version.
        UnknownFormat: there is no such format.
        LibraryMissing: scikit-learn or skops is not installed.

    Examples:
        >>> saved = save_pipeline(client, "flowers", make_pipeline(PCA(2), LogisticRegression()).fit(X, y))
        >>> [str(version) for version in saved]
        ['flowers.structure@1.0.0', 'flowers.pca@1.0.0', 'flowers.logisticregression@1.0.0']
    """
    from opstore_cli.client import advice

    with advice.notes("save_pipeline()"):
        from opstore_cli.sklearn import saving

        return saving.save(client, name, fitted, format)


def load_pipeline(
    client: "BaseOpStoreClient",
    name: str,
    lock: Lock | Path | str | None = None,
    as_of: When | None = None,
    *,
    use: Sequence[str | Reference] = (),
    latest: bool = False,
    allow_pickle: bool | None = None,
    trusted: Sequence[str | type] | None = None,
) -> Any:
    """Return a fitted Pipeline, made of versions that are valid together.

    These are the newest ones, as `client.resolve` finds them: if a newer version is not validated, it is skipped with a
    SkippedVersionsWarning. A LibraryWarning says if libraries have other versions than when the steps were saved.

    Args:
        client: the client of the store.
        name: the name of the pipeline.
        lock: load what this lock, or lock file, pins.
        as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.
        use: references of versions that have to be loaded, such as one that was just saved.
        latest: load the latest version of every step, or nothing.
        allow_pickle: whether code in the files may run, as for `client.load`.
        trusted: types, or their names, that skops may load in addition to those that it trusts by default.

    Returns:
        Pipeline: with the parameters and the predictions of the one that was saved.

    Raises:
        NoResolution: no versions are valid together; with `latest` or `use`, these are not.
        LockStale: the lock no longer holds.
        LockConflict: the store has other bytes for a version of the lock.
        FileRefused: the lock file can't be read, or is no lock.
        PipelineNotFound: the pipeline does not exist, or did not at that time.
        PipelineNotSaved: the pipeline was registered, but not by `save_pipeline`.
        LoadingRunsCode: a format runs code, and `allow_pickle` is not True.
        UntrustedTypes: the files have types that skops does not trust; all of them are named.
        NotLoaded: a step can't be restored.
        IntegrityFailure: bytes do not match their digest.

    Examples:
        >>> load_pipeline(client, "flowers").predict(X[:2])
        array([0, 0])
    """
    from opstore_cli.client import advice

    with advice.notes("load_pipeline()"):
        from opstore_cli.sklearn import loading

        return loading.load(
            client, name, lock, as_of, use=use, latest=latest, allow_pickle=allow_pickle, trusted=trusted
        )


def assemble_pipeline(parts: "Mapping[str, Any] | Path | str", *, trusted: Sequence[str | type] | None = None) -> Any:
    """Return the fitted Pipeline that is made of these files or objects, such as those that `client.verify` passes.

    It asks no store, and does not check that they are valid together: a lock that was pulled says so, or a run of
    `verify` finds out.

    Args:
        parts: for each op with bytes, the path of its skops file, or its object; or the path of the folder that
            `opstore pull --lock` or `opstore verify` (`OPSTORE_DIR`) pulled.
        trusted: types, or their names, that skops may load in addition to those that it trusts by default.

    Returns:
        Pipeline: fitted.

    Raises:
        InvalidArgument: the parts are not those of a pipeline that `save_pipeline` stored.
        FileRefused: a file or the folder can't be read.
        UntrustedTypes: the files have types that skops does not trust; all of them are named.

    Examples:
        >>> paths = {op: client.path(op) for op in ("flowers.structure", "flowers.pca", "flowers.logisticregression")}
        >>> assemble_pipeline(paths).score(X, y) > 0.9
        True
    """
    from opstore_cli.client import advice

    with advice.notes("assemble_pipeline()"):
        from opstore_cli.sklearn import assembling

        return assembling.assemble(parts, trusted)
