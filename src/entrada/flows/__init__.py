"""The walks, one file each: sign in, check a session, sign out. `RelyingParty` holds them.

Walks are handed values, never settings, and know no framework and no database.
"""
