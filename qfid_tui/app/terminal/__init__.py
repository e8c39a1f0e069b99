"""The terminal that the app is painted on: what it sends, and where the app draws."""
