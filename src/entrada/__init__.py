"""Sign in with Microsoft Entra ID, for any self-hosted Python software."""

__version__ = "0.1.0.dev0"
