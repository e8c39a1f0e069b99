"""Tools for those who work on the app: benchmark, screenshots."""
