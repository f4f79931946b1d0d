"""A version and what surrounds it: where it is the latest, its verdicts with connected ops, and its newest runs."""

from opstore_daemon.protocol.records import EdgeVerdict, VersionDetails
from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.catalog import ops, references, runs, version_rows, versions
from opstore_daemon.store.reports import overview
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.validity import verdicts
from opstore_daemon.store.validity.verdicts import Chosen

MAX_RUNS = 5  # of the version


def details(snapshot: Snapshot, reference: Reference) -> VersionDetails:
    """Return the details of the version that the reference selects; raise what `find_version` raises."""
    row = references.find_version(snapshot, reference)
    op = ops.get(snapshot, reference.op)
    own = Chosen(op, row)
    near = overview.neighbours(snapshot, reference.op)

    def latest(name: str) -> Chosen:
        return verdicts.choose(snapshot, Reference.of(name, None))

    upstreams: list[EdgeVerdict] = [verdicts.edge(snapshot, latest(name), own) for name in near.upstreams]
    downstreams: list[EdgeVerdict] = [verdicts.edge(snapshot, own, latest(name)) for name in near.downstreams]
    lines = {
        op.name: version_rows.ALL,
        f"{op.name}@{row.number.major}": version_rows.with_number_prefix((row.number.major,)),
        f"{op.name}@{row.number.major}.{row.number.minor}": version_rows.with_number_prefix(
            (row.number.major, row.number.minor)
        ),
    }
    newest = {line: version_rows.latest(snapshot, op.id, where) for line, where in lines.items()}
    return VersionDetails(
        version=versions.records(snapshot, [row])[0],
        latest_of=tuple(line for line, version in newest.items() if version is not None and version.id == row.id),
        upstreams=tuple(upstreams),
        downstreams=tuple(downstreams),
        has_more=near.has_more,
        runs=tuple(runs.newest_with(snapshot, row.id, MAX_RUNS)),
        description=ops.records(snapshot, "", 1, only=op.name)[0].description,
    )
