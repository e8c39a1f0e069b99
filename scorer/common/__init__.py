"""What every room may use: errors, inert text, files, switches, kinds of device."""
