"""What `save_pipeline` returns."""

from typing import Any

from opstore_daemon.protocol.records import LinkRecord, Pushed, Record
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.short_text import counted


class SavedPipeline(Rows, Record, frozen=True, kw_only=True):
    """A pipeline that was saved: the version of its structure and of each step, in the order of the data.

    It is a sequence of `Pushed`; with the name of a step as index, it is the version of that step. `steps` has the op
    of each step, by the name that `get_params` has (`columns__scale`). `kept_invalid` are links between these versions
    that say that they are known to be invalid together, which only `client.link` reverses.
    """

    ROWS = "versions"

    pipeline: str
    versions: tuple[Pushed, ...]
    edges: tuple[tuple[str, str], ...]
    steps: dict[str, str]
    kept_invalid: tuple[LinkRecord, ...] = ()

    def _summary(self) -> str:
        """Return the pipeline, how many versions are new, and the versions."""
        new = sum(version.created for version in self.versions)
        words = [self.pipeline, f"{new} new of {counted(len(self.versions), 'versions')}"]
        return ", ".join([*words, " ".join(map(str, self.versions))])

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, str):
            return super().__getitem__(index)
        op = self.steps[index]
        return next(version for version in self.versions if version.op == op)

    @property
    def references(self) -> dict[str, str]:
        """The reference of each step, by its name: `{"pca": "iris.pca@1.0.0"}`."""
        return {name: str(self[name]) for name in self.steps}
