"""Wire types of the services, as vLLM 0.33 speaks them; a module for each task."""
