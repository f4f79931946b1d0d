"""The facts of the store by noun, as queries on a snapshot."""
