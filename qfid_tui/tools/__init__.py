"""Tools for the development of the app: benchmark, screenshots."""
