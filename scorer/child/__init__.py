"""The child process: its input, its signals, its end, and what it finds out about a machine."""
