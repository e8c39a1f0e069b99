"""Corpora: reading text, tokenizing it, and cutting it into chunks."""
