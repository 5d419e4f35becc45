"""Finds what has changed since the last run and brings it into the store."""
