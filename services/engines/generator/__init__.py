"""Engines that map prompts to token streams, each in a process of its own."""
