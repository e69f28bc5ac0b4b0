"""What can be switched to go wrong, on the wire and in what is said."""
