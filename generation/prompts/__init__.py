"""Prompts as text: grammar, tokens, chunks, editing. Light: no torch."""
