"""`save` and `load`: the verbs of a client for Python objects."""

import functools
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from opstore_cli.objects import LibraryWarning
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Fields, Level, Otherwise, Pushed
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.transfer.download import Pull


class ObjectsMixin(OpStoreInterface):
    """For a client that pushes, shows and pulls. What it needs of the formats is imported when it is called."""

    _allow_pickle = False  # what the user's own settings say

    if TYPE_CHECKING:

        def start_pull(self, reference: str) -> AbstractContextManager[Pull]: ...

    def save(
        self,
        op: str,
        obj: object,
        *,
        format: str | None = None,  # noqa: A002 - the record's word
        bump: Level | None = None,
        fields: Fields | None = None,
        subversions: str | None = None,
        otherwise: Otherwise = "refuse",
        new: bool = False,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
    ) -> Pushed:
        """Stores the object as a version of the op, with its format and the versions of the libraries that matter.

        `format` is `bytes`, `json`, `numpy`, `skops`, `joblib`, `pickle` or `cloudpickle`. Without it bytes, arrays,
        dicts of arrays and plain JSON data get the format that gives them back as they are, and anything else is
        refused. The rest as in `push`, but that the same bytes in another format are another version. Also raises
        FormatNeeded, UnknownFormat, ObjectRefused, LibraryMissing, FormatConflict where `fields` or `subversions` name
        a version that has the bytes in another format, and OutputFailed where the temporary file can't be written.
        """
        from opstore_cli.objects import formats

        OpName.parse(op)
        for reference in (*valid_for, *valid_with):
            Reference.parse(reference)  # before a model is written out for nothing
        chosen = formats.fitting(obj) if format is None else formats.named(format)
        with formats.temporary_file() as file:
            libraries = formats.dump(chosen, obj, file)
            push = functools.partial(
                self.push,
                op,
                file,
                bump=bump,
                fields=fields,
                subversions=subversions,
                otherwise=otherwise,
                valid_for=valid_for,
                valid_with=valid_with,
                labels=labels,
                message=message,
                tags=tags,
                format=chosen.name,
                libraries=libraries,
            )
            pushed = push(new=new)
            if pushed.format != chosen.name and fields is None and subversions is None:
                # The latest version has the same bytes as something else: the text of a JSON, say, and not its data.
                file.seek(0)
                pushed = push(new=True)
        if pushed.format != chosen.name:
            there = pushed.format or "plain bytes"
            raise errors.FormatConflict(op=op, version=pushed.version, format=there)
        return pushed

    def load(
        self,
        reference: str,
        *,
        allow_pickle: bool | None = None,
        trusted: Sequence[str | type] | None = None,
        format: str | None = None,  # noqa: A002 - the record's word
    ) -> Any:
        """The object in a version, once all its bytes are verified.

        `allow_pickle` says whether code in it may run: what is a pickle, a cloudpickle or a joblib runs whatever
        whoever pushed it put there. None: as the setting says, which is no unless the user's own settings say yes.
        `trusted` names the types that skops may load beyond those that it trusts by itself. `format` goes before the
        recorded one. Warns with LibraryWarning where a library has another version than it was saved with. Also
        raises NotStored, FormatNeeded, UnknownFormat, LoadingRunsCode, UntrustedTypes, LibraryMissing, NotLoaded and
        IntegrityFailure.
        """
        from opstore_cli.objects import formats, libraries

        if isinstance(trusted, str | type | bool):
            raise errors.InvalidRequest(reason="trusted is a list of types, or of their names")
        with self.start_pull(reference) as pull:
            record = pull.record
            chosen = formats.of_version(record) if format is None else formats.named(format)
            if chosen.runs_code and not (self._allow_pickle if allow_pickle is None else allow_pickle):
                raise errors.LoadingRunsCode(op=record.op, version=record.version, format=chosen.name)
            chosen.require()
            with formats.temporary_file() as file:
                pull.to_stream(file)
                if different := libraries.differences(record.libraries):
                    warnings.warn(LibraryWarning(f"{record.op}@{record.version}", different), stacklevel=2)
                return formats.load(chosen, record, file, trusted)
