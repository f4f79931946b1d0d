"""click parameter types, which parse, validate and complete arguments before anything is sent.

The types of the protocol are imported when a value is parsed: `opstore --version` has none.
"""

import os
import re
from typing import TYPE_CHECKING, Any

import click

from opstore_cli.output.escaping import escape_controls
from opstore_daemon.system.stray_bytes import escape_stray_bytes

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from opstore_cli.console.completion import Source

LEVELS = ("major", "minor", "patch")
COMPATS = ("major", "minor", "exact")


class Text(click.types.StringParamType):
    """Text that JSON can represent: an argument that is not UTF-8 is refused. Paths have types of their own."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = super().convert(value, param, ctx)
        if escape_stray_bytes(text) == text:
            return text
        try:
            return os.fsencode(text).decode()  # UTF-8 that Python took apart: its locale has another encoding
        except UnicodeDecodeError:
            self.fail(f"'{escape_controls(text)}' is not UTF-8", param, ctx)


class NumberType(click.IntRange):
    """A number in ASCII digits: int() also takes those of other scripts, underscores and blanks."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,18}", value):
            self.fail(f"'{escape_controls(value)}' is not a number", param, ctx)
        number = int(value)
        if self.min is not None and number < self.min:
            self.fail(f"{number} is too small: it must be at least {self.min}", param, ctx)
        if self.max is not None and number > self.max:
            self.fail(f"{number} is too large: it must be at most {self.max}", param, ctx)
        return number

    def _describe_range(self) -> str:
        return ""  # not in the help: messages say it


class SubsetType(Text):
    """A subset of blobs: `1/7`. Raises InvalidRequest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.subsets import Subset

        return Subset.parse(super().convert(value, param, ctx))


class RateType(Text):
    """A number of bytes per second: `50MB`, `50MB/s`, `512KiB`, `1000000`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.sizes import parse_size

        if isinstance(value, int):
            return value
        text = super().convert(value, param, ctx)
        rate = parse_size(text.removesuffix("/s"))
        if not rate:
            self.fail(f"'{escape_controls(text[:40])}' is not a rate: pass bytes per second, such as 50MB", param, ctx)
        return rate


class _Completed(Text):
    """Text for which the daemon provides completions."""

    def source(self) -> "Source":
        """Return the function that yields the candidates."""
        raise NotImplementedError

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from opstore_cli.console.completion import complete

        return complete(self.source(), ctx, incomplete)


class OpNameType(_Completed):
    """The name of an op. Raises InvalidName."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.names import OpName

        return OpName.parse(super().convert(value, param, ctx))

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.ops


class PipelineNameType(_Completed):
    """The name of a pipeline. Raises InvalidName."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.names import PipelineName

        return PipelineName.parse(super().convert(value, param, ctx))

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.pipelines


class NameType(_Completed):
    """The name of an op or a pipeline. Raises InvalidName."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.names import Name

        return Name.parse(super().convert(value, param, ctx))

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.names


class TagType(_Completed):
    """A tag, completed from those of the op that precedes it on the command line. Raises InvalidName or InvalidTag."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.references import TagName

        return TagName.parse(super().convert(value, param, ctx))

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.tags


class ReferenceType(_Completed):
    """`NAME` or `NAME@SELECTOR`. Raises InvalidName, InvalidReference or InvalidVersion."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.references import Reference

        return Reference.parse(super().convert(value, param, ctx))

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.references


class PipelineOrReferenceType(ReferenceType):
    """A reference, or a pipeline's name. The command distinguishes them by the number of arguments."""

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.pipelines_or_references


class ReferenceThenTagType(_Completed):
    """References, then a tag. Only the position distinguishes them, so the command parses them."""

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.reference_then_tag


class LabelType(_Completed):
    """A label, completed from those of the versions of the op that precedes it on the command line."""

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.labels


class LabelKeyType(_Completed):
    """The key of a label, completed as labels are."""

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.label_keys


class LabelFilterType(LabelType):
    """`KEY` or `KEY=VALUE`. Raises InvalidLabel."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.labels import LabelFilter

        return LabelFilter.parse(super().convert(value, param, ctx))


class RunType(_Completed):
    """The number of a run: its position in the journal."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return NumberType(min=1).convert(super().convert(value, param, ctx), param, ctx)

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.runs


class EdgeType(_Completed):
    """`UP:DOWN`, as a pair of op names. Raises InvalidName."""

    name = "edge"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.names import OpName

        upstream, colon, downstream = super().convert(value, param, ctx).partition(":")
        if not (upstream and colon and downstream):
            self.fail(f"{value!r} is not UP:DOWN", param, ctx)
        return OpName.parse(upstream), OpName.parse(downstream)

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.edges


class UncheckedUrlType(_Completed):
    """The URL of a daemon, which is validated with the settings."""

    def source(self) -> "Source":
        from opstore_cli.console import completion

        return completion.login_urls


class UrlType(UncheckedUrlType):
    """The URL of a daemon, in the form in which URLs are compared. Raises InvalidSetting."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_cli.config.urls import check_url

        return check_url(super().convert(value, param, ctx), "the URL")


class DurationType(Text):
    """A duration such as 90s, 10m or 1h, in seconds. `above_zero`: refuse 0."""

    name = "duration"

    def __init__(self, *, above_zero: bool = False) -> None:
        self._above_zero = above_zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.durations import parse_duration

        try:
            seconds = parse_duration(super().convert(value, param, ctx))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self._above_zero and not seconds:
            self.fail("it must be at least 1s", param, ctx)
        return seconds


class TimeOrPositionType(Text):
    """A position of the journal or a time, which may be relative, as AsOf. A time without an offset is local time."""

    name = "time or position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_daemon.protocol.errors import InvalidRequest
        from opstore_daemon.protocol.times import AsOf

        try:
            return AsOf.parse(super().convert(value, param, ctx))
        except InvalidRequest as error:
            self.fail(error.details["reason"], param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in ("yesterday", "1h", "1d", "1w") if word.startswith(incomplete)]


class EndType(TimeOrPositionType):
    """An end of a bisection: the path of a lock file that exists, as Path, else a time or a position, as AsOf."""

    name = "lock, time or position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from opstore_cli.evidence.end_text import parse_end
        from opstore_daemon.protocol.errors import InvalidRequest

        try:
            return parse_end(click.types.StringParamType.convert(self, value, param, ctx))
        except InvalidRequest as error:
            self.fail(error.details["reason"], param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file"), *super().shell_complete(ctx, param, incomplete)]


class PathType(click.Path):
    """A path, which messages show in the form that all others do."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            # click writes a replacement character for each byte that is not UTF-8, in the repr of the path.
            shown = escape_controls(os.fsdecode(value))
            self.fail(error.message.replace(repr(click.format_filename(value)), f"'{shown}'"), param, ctx)


class DirectoryType(PathType):
    """The path of a directory that need not exist. The shell completes directories; the command checks the path."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir")]
