"""The three model services, and the ground floor that everything stands on: wire types, errors, settings, client."""

__version__ = "0.1.0"
