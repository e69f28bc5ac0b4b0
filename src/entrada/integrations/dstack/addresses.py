"""Where dstack's own pages expect Entra's response."""

CALLBACK_PATH = "/auth/entra/callback"
