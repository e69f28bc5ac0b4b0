"""Mage: its own "Sign in with Microsoft" button, with our walk behind it.

    entrada mage start PROJECT          everything `mage start` takes

    configuration, setting_names
                        what can be wrong with the settings, and how to say it to who followed Mage's page
    launcher            hooks Mage, and runs Mage's own command
    hooks, changes      the only files that know what Mage looks like inside
    provider            what Mage's sign-in page is told, and why Mage redeems nothing any more
    routes, pages       the addresses of the walk; answers without a framework
    handlers            Tornado's requests to ours, and back
    other_sign_ins      who may still come in with a password
    guard, credentials  which of Mage's handlers opens to whom, and the session that a request brings
    dispatch, sockets   asks before every handler; closes what is open when its session ends
    no_role             the page for somebody who is in and may see nothing
    tables, users, sessions, store
                        Mage's users, roles and tokens, and our links, in Mage's own database
    walk                one sign-in from Entra's response to Mage's token
    background_jobs     the background look at everyone who signed in
    adopt, linking      moves people over who signed in with stock Mage before; links by hand
    checks              what `entrada mage check` says

Importing this imports nothing of Mage: a wrong setting has to stop the start before Mage's seven seconds.
"""
