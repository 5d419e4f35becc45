"""Logging by configs/logging.json: text for people, JSON for collectors.

Prompts, documents and keys are never logged.
"""

import json
import logging.config

from services import CONFIGS
from services.settings import Settings


def configure(settings: Settings) -> None:
    config = json.loads((CONFIGS / "logging.json").read_text())
    config["handlers"]["stderr"]["formatter"] = settings.log_format
    config["root"]["level"] = settings.log_level
    logging.config.dictConfig(config)
