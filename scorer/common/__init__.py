"""Shared by all rooms: errors, inert text, files, environment switches, kinds of device."""
