"""Chat and completions: /v1/chat/completions, /v1/completions, /tokenize, /detokenize."""
