"""Two listeners, their connections, and which endpoint a path belongs to."""
