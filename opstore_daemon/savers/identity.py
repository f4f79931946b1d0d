"""The part of a saver's contract that says whose storage it is.

One server at a time uses a saver's storage, and the storage carries the id of its store, so that no server deletes the
blobs of another store, or continues with an empty database beside them. It also has the position of the last commit,
so that a database which lost commits is noticed. A saver that inherits these defaults works without that protection:
then the operator has to see to it.
"""

from typing import ClassVar


class StorageIdentity:
    """Who uses the storage, and which store it belongs to."""

    carries_id: ClassVar[bool] = False
    """Whether the storage can be acquired and claimed: a saver overrides all of these methods or none."""

    is_shared: ClassVar[bool] = False
    """Whether several servers use the storage at once: those of one database, which then sees to what they share."""

    def place(self) -> str:
        """Return what messages to the operator call the storage, such as its path."""
        return type(self).__name__

    def acquire(self, home: str | None = None) -> None:
        """Become the only user of the storage until `release` or the end of the process, however it ends.

        If it `is_shared`, only look whether it can be used.

        `home` is the data folder of this daemon, which is recorded for those who find the storage in use. Raises
        StoreInUse at once if somebody else has it, also another saver of this process, and StorageFailed.
        """

    def release(self) -> None:
        """End what `acquire` began; does nothing if it did not succeed."""

    def check_place(self) -> None:
        """Raise StorageFailed if the storage that was acquired is no longer where it was.

        Called before each commit that relies on a blob, so it should take microseconds.
        """

    def store_id(self) -> str | None:
        """Return the id that the storage carries: 32 lower-case hex digits; None if no store has claimed it.

        Raises StorageFailed.
        """
        return None

    def claim(self, store_id: str) -> None:
        """Make the storage carry the id, durably: after a crash it has this id or the one before.

        The storage then has no position, unless it carried this id already.
        """

    def position(self) -> int:
        """Return the largest position that was recorded since the storage was claimed; 0 if there is none.

        Raises StorageFailed.
        """
        return 0

    def record_position(self, position: int) -> None:
        """Record the position of a commit in the store's journal; does nothing in storage that no store has claimed.

        Called after each commit, from any thread, in any order: so it should take microseconds. It need not be durable
        (a record that is behind raises no false alarm), and it never raises.
        """
