"""The facts that the store knows, by noun: each module reads and records one kind of fact through a snapshot."""
