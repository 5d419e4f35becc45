"""Our services and their peers on the same work: `python -m bench.serving`, or `make bench`."""
