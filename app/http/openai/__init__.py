"""The OpenAI API over the collections: chat clients take each for a model, and the SDKs for a vector store."""
