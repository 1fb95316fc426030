"""Sessions that meet: docmill's own operations, interleaved in every way that PostgreSQL allows.

`cast` is who can meet, `scenes` what they find, `meetings` what may come of it. `turns` makes
their code wait before each statement, `explore` gives them the turns in every order, and `promises`
is what must be true after each order.

PostgreSQL's own isolationtester does this for fixed scripts. docmill's operations are no scripts:
what they do next depends on what came back (a fence without a row rolls everything back), and which
of two sessions waits for the other is known only once it does. isolationtester stands still where a
permutation asks a waiting session for its next step; here only those are asked that can go on.
"""
