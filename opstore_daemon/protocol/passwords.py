"""Texts without the passwords of the URLs in them: whatever is printed, logged or stored."""

import re

# What SQLAlchemy takes for a password, and libpq's parameters that are secret.
_IN_AUTHORITY = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")
_IN_QUERY = re.compile(r"([?&](?:ssl)?password=)[^&\s]*", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """Return the text with *** in place of each password."""
    return _IN_QUERY.sub(r"\1***", _IN_AUTHORITY.sub(r"\1***@", text))
