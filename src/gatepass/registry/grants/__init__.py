"""What decisions read: published in the transaction of the change it follows from."""
