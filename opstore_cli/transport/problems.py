"""Error responses (RFC 9457): which errors a server may respond with, in which words, and with which advice.

The words are the server's, with control characters escaped: Python prints them in a traceback. The advice is a command
to run, so it comes from this program (`errors`), with details that are safe to paste into a shell.
"""

import re

from opstore_cli.output.escaping import escape_controls
from opstore_cli.transport.response import ApiResponse
from opstore_daemon.protocol import errors, records, routes

MAX_PROBLEM = 1024 * 1024  # bytes of an error response
MAX_SUGGESTIONS = 10

# Errors of this program: no daemon responds with them.
LOCAL: tuple[type[errors.OpStoreError], ...] = (
    errors.AnswerIsNo,
    errors.Unreachable,
    errors.UnexpectedResponse,
    errors.InvalidSetting,
    errors.InvalidArgument,
    errors.FileRefused,
    errors.FolderRefused,
    errors.OldStoreUnreadable,
    errors.RegistryUnreadable,
    errors.ImportIncomplete,
    errors.FormatNeeded,
    errors.UnknownFormat,
    errors.ObjectRefused,
    errors.NotLoaded,
    errors.PathRefused,
    errors.PathIsFolder,
    errors.PathNotFound,
    errors.PathExists,
    errors.TokenNotFound,
    errors.LogNotFound,
    errors.OutputExists,
    errors.HomeLocked,
    errors.FormatConflict,
    errors.SessionRequired,
    errors.UntrustedUrl,
    errors.UntrustedHome,
    errors.PlainHttp,
    errors.ProofFailed,
    errors.TokenUnavailable,
    errors.ListenRefused,
    errors.LoadingRunsCode,
    errors.UntrustedTypes,
    errors.SchemaTooNew,
    errors.OutputFailed,
    errors.LibraryMissing,
)

# No blank, quote or other character that a shell interprets, and no leading dash, which would be an option.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/+=,-]{0,299}")


def read(response: ApiResponse) -> errors.OpStoreError | None:
    """Return the error of a response with that status; None if it is not an error response of a daemon."""
    try:
        if response.content_type != routes.PROBLEM:
            return None
        problem = records.decode(response.read(MAX_PROBLEM), records.Problem)
    except (ValueError, errors.InvalidRequest):
        return None
    error = errors.from_wire(problem.code, response.status, escape_controls(problem.detail), "", problem.details)
    if isinstance(error, LOCAL) or type(error).status != response.status:
        error = errors.from_wire("", response.status, error.text, "", problem.details)
    error.advice = _advice(error)
    return error


def _advice(error: errors.OpStoreError) -> str:
    """Return the advice of this program for the error; empty if a detail that it needs is missing or not safe."""
    if isinstance(error, errors.OpNotFound | errors.PipelineNotFound) and (advice := _about_other_kind(error)):
        return advice
    if isinstance(error, errors.ObjectStoreFailed):
        place = error.details.get("place")  # its own advice is for the machine of the daemon
        return f"opstore doctor --saver {place}, where the daemon runs" if _is_safe(place) else ""
    similar = error.details.get("similar")
    if isinstance(error, errors.NotFound) and isinstance(similar, list) and similar:
        names = [name for name in similar[:MAX_SUGGESTIONS] if _is_safe(name)]
        return errors.did_you_mean(names)
    safe = {name: value for name, value in error.details.items() if _is_safe(value)}
    try:
        return error.hint.format(**safe)
    except (KeyError, ValueError):
        return ""


def _about_other_kind(error: errors.OpNotFound | errors.PipelineNotFound) -> str:
    """Return the advice for an op in place of a pipeline, or the reverse, if the names in it are safe."""
    pipelines = error.details.get("op_of")
    names = [
        error.details.get("op", error.details.get("pipeline")),
        *(pipelines if isinstance(pipelines, list) else ()),
    ]
    is_safe = len(names) <= MAX_SUGGESTIONS and all(map(_is_safe, names))
    return error.about_other_kind() if is_safe else ""


def _is_safe(value: object) -> bool:
    return isinstance(value, str) and _SAFE.fullmatch(value) is not None
