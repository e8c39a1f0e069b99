"""Lanes whose KV cache is quantized."""
