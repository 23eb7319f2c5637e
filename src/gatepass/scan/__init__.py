"""Finds leaked credentials in files, Git repositories and streams of bytes.

It needs no installation: a credential's text is recognized by its prefix, alphabet and checksum.
"""
