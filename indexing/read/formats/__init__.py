"""Files to text: load.py picks the loader of a format. Only parser processes import the loaders."""
