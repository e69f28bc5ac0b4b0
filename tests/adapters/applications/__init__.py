"""The same small application in every framework, for the suite of the adapters.

/                 who is asking, or nobody                  open
/members/...      who is asking, and the query              login_required
/editors/all      who is asking                             roles_required("Editor", "Admin")
/files            who is asking                             scopes_required("access_as_user")
/jobs             who is asking, an application too         the same and a role; applications may call
/stream           three lines, one after the other          login_required
/live             a WebSocket that echoes, where the framework has them    login_required
"""
