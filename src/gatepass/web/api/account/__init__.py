"""A signed-in user: authentications, e-mail address, OpenID Connect."""
