"""The texts of mails, and SMTP. ``gatepass.node.mailing`` decides when a mail is sent."""
