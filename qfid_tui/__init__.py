"""The user interfaces of qfid: the terminal app and the command line."""
