"""The copies of versions in the cache of this machine: `path`, and the bytes that `load` reads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from opstore_cli.client.mixin import ApiMixin
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.references import Reference, selector_text

if TYPE_CHECKING:
    from opstore_cli.transfer.cache import Cache
    from opstore_cli.transfer.download import Pull


class CachedCopiesMixin(ApiMixin):
    """The verb `path`."""

    def path(self, reference: str | Reference) -> Path:
        """Return the local path of a verified copy of a version, in a cache; a second call transfers no bytes.

        The copy is read-only and named by its digest. It stays as long as the returned object lives; afterwards it may
        be deleted in favour of newer ones, if the cache is larger than OPSTORE_CACHE_SIZE. Many processes may use the
        cache.

        Args:
            reference: the version.

        Returns:
            Path: a file, or a folder for a version whose format is `folder`.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            NotStored: the version has no bytes.
            OutputFailed: the cache can't be written.
            FolderRefused: the bytes are no folder that can be unpacked.
            IntegrityFailure: the bytes do not match their digest.

        Examples:
            >>> path = client.path("pca@1.0.0")
            >>> path.read_bytes()
            b'components'
        """
        parsed = Reference.parse(reference)
        return self._cached(self._api.version(parsed.op, selector_text(parsed.selector)))

    def _cached(self, version: VersionRecord) -> Path:
        def write(target: Path) -> None:
            with self._pull(version) as pull:
                pull.to_path(target, overwrite=True)

        return self._cache().path(version, write)

    @contextmanager
    def _verified(self, version: VersionRecord) -> Iterator[BinaryIO]:
        """Open the verified bytes of a version, in the cache, or without one if it can't be written or is too small."""
        from opstore_cli.objects import formats

        cached = None
        if not version.is_folder and (version.size or 0) <= self._cache().size:
            with suppress(errors.OutputFailed):
                cached = self._cached(version)
        with formats.temporary_file() if cached is None else open(cached, "rb") as file:
            if cached is None:
                with self._pull(version) as pull:
                    pull.to_stream(file)
            yield file

    @contextmanager
    def _pull(self, version: VersionRecord) -> "Iterator[Pull]":
        """Yield the pull of a version whose record is known; its bytes are requested as they are read."""
        from opstore_cli.transfer.download import Pull

        with self._show_progress(f"pull {version}") as moved:
            yield Pull(self._api, version, None, moved, None)

    def _cache(self) -> "Cache":
        from opstore_cli.config import cache
        from opstore_cli.transfer.cache import Cache

        return Cache(cache.cache_folder(os.environ, Path.cwd()), cache.cache_size(os.environ, {}))
