"""What one running emulator remembers between requests, and the `World` that holds all of it."""
