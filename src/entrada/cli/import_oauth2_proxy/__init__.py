"""oauth2-proxy's configuration into ours: read, translated line by line, written."""
