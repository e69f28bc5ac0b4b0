"""From a proven client to tokens: metadata, the token endpoint, its grants, and the claims."""
