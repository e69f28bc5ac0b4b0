"""The tables of the Django adapter."""
