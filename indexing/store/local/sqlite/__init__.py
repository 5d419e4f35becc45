"""The truth of a generation, as rows."""
