"""Real products, signed in to with Entra: each through its own hooks, unmodified.

    links       who is linked to which of the product's users, in the product's own database
    recheck     asks Entra again, in the background, about those who signed in
    parts       settings -> the parts of the walk that a product needs
    dstack, mage

A product keeps its own users and sessions; verification, admission and roles are the core's, unchanged.
"""
