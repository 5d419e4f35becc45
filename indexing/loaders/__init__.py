"""Files to text: load.py picks the loader of a format; only parser processes import it."""
