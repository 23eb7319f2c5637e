"""What a platform provisions: companies, owners and their tokens, keys, portal sessions."""
