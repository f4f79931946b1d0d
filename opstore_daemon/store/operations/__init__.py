"""Each verb of the store as one transaction, by noun."""
