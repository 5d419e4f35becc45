"""What embed and score share: strings in, rows out."""
