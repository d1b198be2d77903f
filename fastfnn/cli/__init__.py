"""The command `fastfnn`: `main.py` parses the command line; each command has a file, with its options and what it does.

Here are words, files and exit statuses. What a command computes is elsewhere in the package, above all in
`fastfnn.tables`, which is imported only by a command that needs it.
"""

from fastfnn.cli.main import main

__all__ = ["main"]
