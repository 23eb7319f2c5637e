"""HTTP of the data plane: request credentials, client address, and the answer to a refusal."""
