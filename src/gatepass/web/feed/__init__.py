"""The feed over HTTP: how an embedded verifier keeps its copy of the grants
(docs/reference/feed.md)."""
