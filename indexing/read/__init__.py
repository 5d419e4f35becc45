"""Finds files and pages, and extracts their text."""
