"""Which errors a route may respond with: those of any request, those that follow from its declaration, and its own."""

from opstore_daemon.protocol import errors
from opstore_daemon.web.framework.path_parameters import PATH_PARAMETERS
from opstore_daemon.web.framework.routing import ApiRoute, Error
from opstore_daemon.web.guards import SCOPES

# Of any request: its framing, size, Host and Origin, and internal errors.
COMMON_ERRORS: tuple[Error, ...] = (
    errors.InvalidRequest,
    errors.AmbiguousFraming,
    errors.LengthRequired,
    errors.TooLarge,
    errors.HeadersTooLarge,
    errors.ForeignHost,
    errors.ForeignOrigin,
    errors.ProgramReplaced,
    errors.InternalError,
)

READ_ERRORS: tuple[Error, ...] = (
    errors.DatabaseFailed,
    errors.DatabaseReplaced,
    errors.StorageFull,  # a query may need space too
)
WRITE_ERRORS: tuple[Error, ...] = (*READ_ERRORS, errors.OutcomeUnknown)
STORAGE_ERRORS: tuple[Error, ...] = (*WRITE_ERRORS, errors.StorageFailed)
REFERENCE_ERRORS: tuple[Error, ...] = (
    errors.InvalidName,
    errors.InvalidReference,
    errors.InvalidVersion,
    errors.AmbiguousReference,
    errors.OpNotFound,
    errors.VersionNotFound,
    errors.VersionRemoved,
    errors.TagNotFound,
    errors.TagYanked,
    errors.TooMuchWork,
)
# Of a request with a lock in its body.
LOCK_ERRORS: tuple[Error, ...] = (errors.InvalidSubversions, errors.InvalidDigest, errors.LockConflict)


def possible_errors(route: ApiRoute) -> list[Error]:
    """Return all errors that the route may respond with, in the order of protocol/errors."""
    found = {*COMMON_ERRORS, *route.raises}
    if route.scope is not None:
        found.add(errors.TokenRequired)
        if route.scope != SCOPES[0]:  # which every token has
            found.add(errors.ScopeRequired)
    if errors.StorageFailed in found:
        found.add(errors.ObjectStoreFailed)
    if route.content_types:
        found.add(errors.UnsupportedContent)
    if route.changes_store:
        found |= {errors.KeyReused, errors.QuotaExceeded}
    for name in route.path_parameters:
        found |= {errors.RouteNotFound, *PATH_PARAMETERS[name].raises}
    return [error for error in errors.all_errors() if error in found]
