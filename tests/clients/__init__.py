"""Clients that nobody here wrote, each with its own code, signing in at the emulator."""
