"""The orchestrator's HTTP server."""
