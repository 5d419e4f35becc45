"""What every HTTP server here has, the orchestrator's too."""
