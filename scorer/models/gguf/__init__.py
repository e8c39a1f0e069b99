"""GGUF files, llama.cpp's format: what their headers say, and whether it is the reference."""
