"""An OpenID Provider towards installations, and one relying party towards Entra: one registration for many.

    installations           who may ask, from which addresses, for which tenant
    client_authentication   that a token request comes from the installation it names
    authorization_request   what an installation asks for, read strictly
    grants, store           what was given to whom, and where that is remembered
    signing_keys, tokens    what an installation is handed
    discovery, authorize, token, userinfo, end_session, backchannel_logout      one endpoint each
    ending                  what a person whom Entra has verified leads to here: a code for the installation

Source: OpenID Connect Core 1.0; RFC 6749; RFC 7636; RFC 9207; RFC 9700.
"""
