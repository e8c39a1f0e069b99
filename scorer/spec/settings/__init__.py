"""Settings: what is stored with fewer bits, and the notation it is written in."""
