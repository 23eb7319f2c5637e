#!/bin/sh
# Words that a reader has to decode, in the source, on pages and in the docs: each has a term of the
# field in its place. `make check` runs this; it prints the lines and fails. Left out: migrations,
# which stay as they were released, and the test that keeps such words off the pages.
set -u
WORDS='whoever|whomever|whom|anew|vouch|vouches|vouched|vouching|lets? go of|letting go of'
if grep -rniwE --include='*.py' --include='*.html' --include='*.js' --include='*.ts' --include='*.go' --include='*.css' --include='*.md' \
    --include='*.yaml' --include='*.toml' --include=Makefile --exclude-dir=versions --exclude-dir=node_modules \
    --exclude=test_wording.py "$WORDS" \
    src docs clients examples benchmarks faults tests README.md SECURITY.md CONTRIBUTING.md CHANGELOG.md Makefile pyproject.toml; then
    echo "Say it in the field's words: CONTRIBUTING.md, Words." >&2
    exit 1
fi
