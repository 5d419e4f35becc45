"""Documents that users send, and the collections that keep them."""
