"""Records as the REST API sends them and commands print them: models without a framework."""
