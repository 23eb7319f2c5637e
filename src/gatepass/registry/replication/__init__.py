"""Who holds a copy of the grants, how far each has come, and receipts of revocations."""
