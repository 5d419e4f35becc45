"""The three model services, and the ground floor that everything stands on: wire types, errors, settings, client."""

from pathlib import Path

__version__ = "0.1.0"

CONFIGS = Path(__file__).parent.parent / "configs"
