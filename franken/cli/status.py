"""How a job ended, as its directory says it; light, for whoever only asks."""

FINISHED, DONE, FAILED = "finished", "already done", "failed"
INTERRUPTED = "interrupted"
"""Ended by a signal; the same command goes on."""
STATUS_FILE = "status.json"
