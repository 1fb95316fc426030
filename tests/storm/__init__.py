"""Storms: clients that use docmill while everything around it is killed, and what must hold after.

    python -m storm --seconds 60 --seed 7        (make storm SECONDS=60 SEED=7)

`world` is docmill with its database, started and struck; `clients` use it through `proxy` and write
every exchange to `history`; `check` reads the history and the database when the storm is over.
"""
