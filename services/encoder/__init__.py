"""What embed and score share: strings to rows, and the routes that both have."""
