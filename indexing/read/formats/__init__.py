"""Files to text: load.py picks the reader of a format; only parser processes import it."""
