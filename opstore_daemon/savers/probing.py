"""Try the storage of a saver, for `opstore doctor --saver URL`."""

from collections.abc import Iterator

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.probe_lines import Probed


def probe(url: str) -> Iterator[Probed]:
    """Yield what the object store at s3://BUCKET/PREFIX does; raise InvalidSetting and LibraryMissing."""
    if not url.startswith("s3://"):
        raise errors.InvalidSetting(setting="--saver", reason=f"{url!r} is not s3://BUCKET/PREFIX")
    from opstore_daemon.savers import S3Saver

    bucket = S3Saver(url).bucket
    from opstore_daemon.savers.object_store.probe import Probe

    return iter(Probe(bucket))


def print_lines(url: str) -> None:
    """Print a JSON object for each check; an error of ours is one, too."""
    try:
        for each in probe(url):
            _print(each)
    except errors.OpStoreError as error:
        _print(Probed("bucket", error.text, error.advice or "correct --saver"))


def _print(line: Probed) -> None:
    import msgspec

    print(msgspec.json.encode(line).decode(), flush=True)  # noqa: T201 - its caller reads it
