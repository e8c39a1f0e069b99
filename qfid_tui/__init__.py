"""The faces of qfid: the terminal app and the command line."""
