"""What people are told about tokens and credentials: warnings, alarms, reported leaks."""
