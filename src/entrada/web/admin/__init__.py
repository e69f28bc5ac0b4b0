"""The pages of administrators, under /auth/admin.

access      who may see them, and which forms count
people      the list of accounts, and one account
changes     what the forms on an account do
"""
