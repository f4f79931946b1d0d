"""Import an MLflow registry: the versions of its models with their files, labels and tags, each once."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches

import msgspec

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.importers import mlflow_mapping as mapping
from opstore_cli.importers.mlflow_aliases import AliasImport, MovedTag
from opstore_cli.importers.mlflow_messages import Model, ModelVersion
from opstore_cli.importers.mlflow_registry import FilesUnreadable, Registry
from opstore_cli.output.document import Output
from opstore_cli.output.skipped import Skipped, report_skipped
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import OpVersion, VersionRecord
from opstore_daemon.protocol.records.base import Description, Message
from opstore_daemon.protocol.reference_text import format_reference

# Errors of a single item of the registry.
_ITEM_ERRORS = (errors.Refused, errors.Conflict)
READY, PENDING = "READY", "PENDING_REGISTRATION"


@dataclass
class RegistryReport:
    """What a run imported. `created`: the versions that are new or got their files; `tags`: those that moved."""

    created: list[OpVersion] = field(default_factory=list)
    unchanged: int = 0
    tags: list[MovedTag] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


class MlflowImport:
    """One import run, which prints what it does; `renames` maps names of models to names of ops."""

    def __init__(self, client: BaseOpStoreClient, registry: Registry, renames: Mapping[str, str], out: Output) -> None:
        self._client, self._registry, self._renames, self._out = client, registry, renames, out
        self.report = RegistryReport()

    def run(self, names: Sequence[str] = ()) -> RegistryReport:
        """Import the models of these names, or all. An item that can't be imported is reported and skipped.

        Raises InvalidSetting if a name or a rename fits no model, and errors that concern the whole run.
        """
        models = self._registry.models()
        _check_names(models, names, self._renames)
        for model, op in self._ops([model for model in models if not names or model in names]).items():
            try:
                found = self._registry.model(model)
            except FilesUnreadable as failure:  # it was deleted since it was listed
                self._skip("model", model, str(failure))
                continue
            self._model(op, model, found)
        return self.report

    def _ops(self, models: Sequence[str]) -> dict[str, str]:
        """Return the op of each model. A model whose name can't be that of an op, or collides, is reported."""
        ops: dict[str, str] = {}
        by_op: dict[str, list[str]] = {}
        for model in models:
            op = mapping.op_name(model, self._renames)
            if op is None:
                reason = "this is not a valid name of an op, and there is no obvious one"
                self._skip("model", model, reason, _rename(model, "NAME"))
            else:
                by_op.setdefault(op, []).append(model)
        for op, same in by_op.items():
            kept = same[0] if len(same) == 1 else self._keeper(op, same)
            for model in same:
                if model == kept:
                    ops[model] = op
                else:
                    others = mapping.some_of(other for other in same if other != model)
                    self._skip("model", model, f"its op would be {op}, like that of {others}", _rename(model, "NAME"))
        return ops

    def _keeper(self, op: str, same: Sequence[str]) -> str | None:
        """Return which of the models that would share an op has it: one imported earlier, or one with its very name."""
        earlier = {_model_label(record) for record in self._existing(op).values()}.intersection(same)
        return earlier.pop() if len(earlier) == 1 else op if op in same else None

    # --- one model ------------------------------------------------------------------------------------------------

    def _model(self, op: str, model: str, found: Model) -> None:
        existing = self._existing(op)
        imported = {
            version.number: existing[key]
            for version in found.versions
            if (key := mapping.subversions(version)) in existing
        }
        other = next((label for label in map(_model_label, existing.values()) if label not in (None, model)), None)
        if other is not None and not imported and all(_model_label(each) != model for each in existing.values()):
            self._skip("model", model, f"its op {op} has versions of the model {other}", _rename(model, "NAME"))
            return
        for version in found.versions:
            record = self._version(op, model, version, imported.get(version.number))
            if record is not None:
                imported[version.number] = record
        if found.description and imported and not existing:
            self._describe(op, model, found.description)
        if imported and found.aliases:
            AliasImport(self._client, op, imported, self.report.tags, self._skip).run(model, found.aliases)

    def _existing(self, op: str) -> dict[str, VersionRecord]:
        with suppress(errors.OpNotFound):
            return {record.subversions: record for record in self._client.versions(op).versions}
        return {}

    def _describe(self, op: str, model: str, description: str) -> None:
        if _fits(description, Description):
            self._client.set_op(op, description=description)
        else:
            self._skip("description", model, "it is longer than the description of an op, or has a NUL")

    # --- one version ----------------------------------------------------------------------------------------------

    def _version(
        self, op: str, model: str, version: ModelVersion, record: VersionRecord | None
    ) -> VersionRecord | None:
        """Import a version unless it is there with its files; return its record, None if it was skipped."""
        if record is not None and record.digest is not None:
            self.report.unchanged += 1
            return record
        name = f"{model} version {version.number}"
        if version.status not in (READY, PENDING):
            self._skip("version", name, f"its status in MLflow is {version.status}")
            return record
        try:
            return self._import_version(op, model, version, record)
        except _ITEM_ERRORS as error:
            if isinstance(error, errors.RegistryUnreadable):
                raise
            self._skip("version", name, error.text, error.advice)
            return record

    def _import_version(
        self, op: str, model: str, version: ModelVersion, record: VersionRecord | None
    ) -> VersionRecord:
        """Push the files of a version, or register the version without them, so that it keeps its place."""
        name = f"{model} version {version.number}"
        labels, message = ({}, None) if record is not None else self._declared(model, name, version)
        key = mapping.subversions(version)
        try:
            if version.status == PENDING:
                raise FilesUnreadable(f"its status in MLflow is {PENDING}")
            with (
                self._out.progress(f"import {op}"),
                self._registry.files(model, version.number, self._out.moved) as files,
            ):
                pushed = self._client.push(
                    op, files, subversions=key, labels=labels, message=message, exclude=["!.git"]
                )
            if pushed.created:
                self._report_created(pushed)
            return pushed
        except FilesUnreadable as failure:
            without = "the version was imported without them" if record is None else "the version has none yet"
            self._skip("files", name, f"{failure}; {without}")
        if record is not None:
            self.report.unchanged += 1
            return record
        registered = self._client.register(op, subversions=key, labels=labels, message=message)
        if registered.created:
            self._report_created(registered)
        return registered

    def _declared(self, model: str, name: str, version: ModelVersion) -> tuple[dict[str, str], str | None]:
        """Return labels and message of a new version; report what does not fit."""
        metrics: dict[str, str] = {}
        if version.run:
            try:
                metrics = self._registry.metrics(model, version.run)
            except FilesUnreadable as failure:
                self._skip("metrics", name, f"run {version.run}: {failure}")
        labels, others = mapping.labels(model, version, metrics)
        if others:
            reason = f"{len(others)} can't be labels: {mapping.some_of(others)}; {mapping.LABEL_RULE}"
            self._skip("labels", name, reason)
        message = version.description or None
        if message is not None and not _fits(message, Message):
            self._skip("description", name, "it is longer than a message, or has a NUL")
            message = None
        return labels, message

    def _report_created(self, version: VersionRecord) -> None:
        self.report.created.append(OpVersion(op=version.op, version=version.version))
        if not self._out.json:
            self._out.write_lines([format_reference(version.op, version.version)])

    def _skip(self, what: str, name: str, reason: str, hint: str = "") -> None:
        self.report.skipped.append(report_skipped(self._out, what, name, reason, hint))


def check_uri(uri: str) -> None:
    """Raise InvalidSetting if the URI is none of a registry that can be imported."""
    setting = f"--uri {uri}" if "@" not in uri else "--uri"  # it may have a password
    scheme = uri.partition(":")[0].lower()
    if scheme in ("databricks-uc", "uc"):
        raise errors.InvalidSetting(setting=setting, reason="registries of Unity Catalog are not supported")
    if scheme in ("models", "runs"):
        reason = "this is a model; --uri is the address of the registry, and --model NAME selects a model"
        raise errors.InvalidSetting(setting=setting, reason=reason)


def _check_names(models: Sequence[str], names: Sequence[str], renames: Mapping[str, str]) -> None:
    """Raise InvalidSetting if a name or a rename fits no model, or a rename would merge two models."""
    for name in names:
        if name not in models:
            raise _no_model(f"--model {name}", name, models)
    for old, new in renames.items():
        setting = f"--rename {old}={new}"
        if old not in models:
            raise _no_model(setting, old, models)
        for other in models:
            if other != old and mapping.op_name(other, renames) == new:
                raise errors.InvalidSetting(setting=setting, reason=f"the model {other!r} has that op too")


def _no_model(setting: str, name: str, models: Sequence[str]) -> errors.InvalidSetting:
    """Return the error for a name that is no model, with the similar ones as its hint."""
    known = f"; it has {mapping.some_of(models)}" if models else ""
    error = errors.InvalidSetting(setting=setting, reason=f"the registry has no model of that name{known}")
    by_lower = {model.lower(): model for model in models}
    if similar := get_close_matches(name.lower(), by_lower):
        error.advice = errors.did_you_mean([shlex.quote(by_lower[each]) for each in similar])
    return error


def _rename(model: str, op: str) -> str:
    return f"--rename {shlex.quote(f'{model}={op}')}"


def _model_label(record: VersionRecord) -> str | None:
    return record.labels.get(mapping.MODEL)


def _fits(text: str, kind: object) -> bool:
    try:
        msgspec.convert(text, type=kind)
    except msgspec.ValidationError:
        return False
    return True
