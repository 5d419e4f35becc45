"""The HTTP edge: bodies in, the pipeline's values out; no decision is made here."""
