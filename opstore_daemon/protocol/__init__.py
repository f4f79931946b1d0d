"""The vocabulary that the client and the daemon share: names, references, versions, records, routes and errors.

It needs the standard library and msgspec only, so that commands start fast and clients need no server packages.
"""
