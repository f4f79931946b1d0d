"""Maintenance of a store beside its requests: what nobody needs is collected, and what is there is checked."""
