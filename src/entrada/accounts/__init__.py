"""People on our side: users, the Entra identities linked to them, their roles, and who is let in."""
