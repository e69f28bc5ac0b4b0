"""What the plug-ins for products share: hooks into a product, and links between its users and Entra."""
