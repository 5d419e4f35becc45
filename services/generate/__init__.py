"""Prompts and chats to text: /v1/chat/completions, /v1/completions, /v1/systemone, /tokenize, /detokenize."""
