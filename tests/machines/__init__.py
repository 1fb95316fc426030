"""Four machines, one database: workers in networks of their own, some of which fail.

    python -m machines --documents 1000        (make machines DOCUMENTS=1000)

`network` is the wires between them (Linux, as root), `world` is docmill on those machines, and what
happens to them; `__main__` lets it happen to many documents and prints what it came to.
"""
