"""The keys that the contract promises in JSON."""

VERSION = {
    "op",
    "version",
    "subversions",
    "sequence",
    "digest",
    "size",
    "registered_at",
    "labels",
    "tags",
    "yanked",
}
