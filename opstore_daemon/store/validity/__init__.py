"""The rules applied to a snapshot: verdicts, candidates, resolution."""
