"""Where the provider sends users back to."""

#: A path below the public URL.
CALLBACK = "/sign-in/oidc/callback"
