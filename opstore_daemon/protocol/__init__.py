"""What both programs say: names, references, versions, records, routes and errors.

Standard library and msgspec only, so that a command starts fast and the client runs where no server can.
"""
