"""What decisions read: published in the transaction of each change, and checked again under its lock."""
