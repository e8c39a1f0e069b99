"""The geometry of a KV cache, read off ``config.json`` by architecture."""
