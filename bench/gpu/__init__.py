"""What the torch engine does on one GPU, against what is asked of it: `python -m bench.gpu`."""
