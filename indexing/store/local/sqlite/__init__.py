"""Documents, chunks and vectors as rows of SQLite."""
