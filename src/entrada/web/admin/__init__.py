"""The pages of administrators, under /auth/admin.

access      who may see them, and which forms count
people      the list of accounts, and one account
changes     what the forms on an account do
explaining  why somebody is in or out, in the words of `entrada explain`
mapping     what another roles mapping would change
health      how it stands with what this server depends on
audit       what happened, who did it and why
"""
