"""Which text is scored, and how it becomes chunks of tokens."""
