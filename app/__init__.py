"""The orchestrator: it retrieves, reranks, prompts, and checks what the model cites."""
