"""Hostile files, each made in the test. Most are a few kilobytes that ask for gigabytes or hours.

    python -m hostile            (make hostile)

`cases` is the table; the other modules enter files into it.
"""

from hostile import archives, office_files, outside, pdf_files, text_files
from hostile.cases import CASES

__all__ = ["CASES", "archives", "office_files", "outside", "pdf_files", "text_files"]
