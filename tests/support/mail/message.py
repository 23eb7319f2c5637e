"""A mail to send."""

from email.message import EmailMessage


def message() -> EmailMessage:
    """A text that has a line with a dot alone, as SMTP ends one."""
    made = EmailMessage()
    made["Subject"] = "Hello"
    made.set_content("Text\n.\nwith a dot\n")
    return made
