"""What changed since the last run, and its way into the store."""
