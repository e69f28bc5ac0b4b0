"""Sessions on the server: the token in the cookie, its limits, live cache and revocation."""
