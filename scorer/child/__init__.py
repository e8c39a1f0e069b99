"""The child process: input, signals, end, and the examination of a machine."""
