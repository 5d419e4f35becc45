"""Engines that map token sequences to rows."""
