"""A message to send."""

from email.message import EmailMessage


def message() -> EmailMessage:
    """A message whose text has a line with a single dot, which ends a message in SMTP."""
    made = EmailMessage()
    made["Subject"] = "Hello"
    made.set_content("Text\n.\nwith a dot\n")
    return made
