"""The process that parsers are forked from: it imports what they need once, and holds nothing else.

`python -m docmill.parse_zygote`. It reads no stranger's file. What a parser gives up
(`parse_child`), it gives up after the fork.
"""

import os

from docmill import parse_child
from docmill.forking import fork_for_each_wish

FIRST_NOT_STANDARD = 3  # descriptors: 0 to 2 are


def main() -> None:
    """Fork parsers; and be one, in each of them."""
    import docmill.parse  # noqa: F401, PLC0415 - all that parsers share

    zygote = os.getpid()
    fork_for_each_wish()
    os.closerange(FIRST_NOT_STANDARD, os.sysconf("SC_OPEN_MAX"))
    os.setpgid(0, 0)  # Ctrl-C is for the worker, which lets the document end
    parse_child.main(zygote)


if __name__ == "__main__":
    main()
