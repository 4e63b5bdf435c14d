"""Prompt and settings -> pictures and weights. Imports nothing else of ours.

The light half (prompts, specs, samplers, metadata, catalogue) needs the standard library and `tokenizers` alone, so
that the terminal process may import it; the heavy half has torch at its top.
"""
