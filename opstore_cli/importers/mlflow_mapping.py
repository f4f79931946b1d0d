"""What of an MLflow registry becomes what in the store: names, subversions, labels and tags."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from opstore_cli.importers.mlflow_messages import ModelVersion
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import MAX_LABELS
from opstore_daemon.protocol.names import is_name, suggest_name
from opstore_daemon.protocol.records.base import LabelKey, LabelValue
from opstore_daemon.protocol.references import TagName

MODEL, NUMBER, RUN, STAGE, CREATED, ALIAS = (
    f"mlflow_{name}" for name in ("model", "version", "run", "stage", "created", "alias")
)
METRIC = "metric."  # before the name of a metric
OWN_TAGS = "mlflow."  # how MLflow's own tags begin
NAMED = 3  # labels that a message names
LABEL_RULE = (
    f"a version has at most {MAX_LABELS} labels, a key 1 to 128 characters and no =, and a value 1024 characters"
)


def op_name(model: str, renames: Mapping[str, str]) -> str | None:
    """Return the name of the op for a model: the one it is renamed to, its own, or the obvious one; else None."""
    return renames.get(model) or (model if is_name(model) else suggest_name(model))


def subversions(version: ModelVersion) -> str:
    """Return the subversions of a version, by which a later import finds it.

    They depend on its number, the time of its creation and its run: the number alone is used again if the model is
    deleted and registered again. The name of the model is not part of them, because MLflow can rename a model.
    """
    levels = ("mlflow", "", f"mlflow {version.number} {version.created} {version.run}")
    return ".".join(hashlib.sha256(level.encode()).hexdigest() for level in levels)


def labels(model: str, version: ModelVersion, metrics: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the labels of a version, and the names of those that don't fit.

    They are where it comes from, its tags, and the metrics of its run, in the order of their names. One label is left
    for the aliases.
    """
    wanted = [(MODEL, model), (NUMBER, str(version.number)), (RUN, version.run), (STAGE, version.stage)]
    wanted += [(CREATED, _time(version.created))]
    wanted = [(key, value) for key, value in wanted if value]
    wanted += sorted((key, value) for key, value in version.tags.items() if not key.startswith(OWN_TAGS))
    wanted += [(METRIC + name, value) for name, value in sorted(metrics.items())]
    found: dict[str, str] = {}
    others: list[str] = []
    for key, value in wanted:
        if key in found or key == ALIAS or len(found) >= MAX_LABELS - 1 or not _is_label(key, value):
            others.append(key)
        else:
            found[key] = value
    return found, others


def _time(milliseconds: int) -> str:
    try:
        time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_label(key: str, value: str) -> bool:
    try:
        msgspec.convert((key, value), type=tuple[LabelKey, LabelValue])
    except msgspec.ValidationError:
        return False
    return True


def some_of(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = sorted(names)
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    return ", ".join(shown[:NAMED]) + more


def tag_name(alias: str) -> TagName | None:
    """Return the tag for an alias, or None: its own name, or the obvious one, unless a reference reads it otherwise."""
    try:
        return TagName.parse(alias if is_name(alias) else suggest_name(alias) or alias)
    except (errors.InvalidName, errors.InvalidTag):
        return None


def aliases_of(labels_: Mapping[str, str]) -> set[str]:
    """Return the aliases that a version had at the last import, from its labels."""
    return set(filter(None, labels_.get(ALIAS, "").split(",")))
