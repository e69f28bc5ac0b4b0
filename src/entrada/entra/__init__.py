"""Microsoft's side of the conversation: clouds, authority, MSAL, keys, tokens, Graph, error codes.

Imports nothing of Entrada but `entrada.errors`.
Verification and claims do no I/O and read no clock.
"""
