"""Which errors a route may answer: those that any request may meet, those that follow from what it is, and its own."""

from opstore_daemon.protocol import errors
from opstore_daemon.web.framework.path_parameters import PARTS
from opstore_daemon.web.framework.routing import Error, Route
from opstore_daemon.web.guards import SCOPES

# Of any request, wherever it goes: of its framing, its size, its Host and its Origin, and what nobody foresaw.
ANYWHERE: tuple[Error, ...] = (
    errors.InvalidRequest,
    errors.AmbiguousFraming,
    errors.LengthRequired,
    errors.TooLarge,
    errors.HeadersTooLarge,
    errors.ForeignHost,
    errors.ForeignOrigin,
    errors.InternalError,
)

# Of what views do.
READING: tuple[Error, ...] = (errors.DatabaseFailed, errors.StorageFull)  # a query may need room too
WRITING: tuple[Error, ...] = (*READING, errors.OutcomeUnknown)
KEEPING: tuple[Error, ...] = (*WRITING, errors.StorageFailed)
PICKING: tuple[Error, ...] = (  # a version, by its reference
    errors.InvalidName,
    errors.InvalidReference,
    errors.InvalidVersion,
    errors.AmbiguousReference,
    errors.OpNotFound,
    errors.VersionNotFound,
    errors.TagNotFound,
    errors.TagYanked,
)


def of(route: Route) -> list[Error]:
    """All errors that the route may answer, in the order of protocol/errors.py."""
    found = {*ANYWHERE, *route.raises}
    if route.scope is not None:
        found.add(errors.TokenRequired)
        if route.scope != SCOPES[0]:  # which every token has
            found.add(errors.ScopeRequired)
    if route.takes:
        found.add(errors.UnsupportedContent)
    if route.once:
        found.add(errors.KeyReused)
    for part in route.parts:
        found |= {errors.RouteNotFound, *PARTS[part].raises}
    return [error for error in errors.all_errors() if error in found]
