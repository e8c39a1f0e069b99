"""The scorer as a child process: start, events, signals, recording, replay."""
