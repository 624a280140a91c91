"""Making the tables and indexes of a view."""

from __future__ import annotations

from runlore.store.database import Database, Migrations
from runlore.store.sqlite import sqlite
from runlore.store.view_tables import INDEXES, READABLE_VIEWS, STATE_TABLES, TABLES_SQL

view_migrations = Migrations("runlore_view")


@view_migrations()
def tables_v1(db: Database) -> None:
    """The first version of all tables."""
    run_script(db, STATE_TABLES)
    run_script(db, TABLES_SQL)


@view_migrations()
def indexes_v1(db: Database) -> None:
    """The indexes of a view that is read while it is written."""
    create_indexes(db.conn)


@view_migrations()
def readable_views_v1(db: Database) -> None:
    """Views for the sqlite3 shell and datasette."""
    run_script(db, READABLE_VIEWS)


def create_indexes(connection: sqlite.Connection) -> None:
    """Make every index that is not there."""
    for name, columns in INDEXES.items():
        connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")


def drop_indexes(db: Database) -> None:
    """Remove the indexes of a view that is to be filled in bulk."""
    for name in INDEXES:
        db.conn.execute(f"DROP INDEX {name}")


def run_script(db: Database, script: str) -> None:
    """Run the statements of a script in the caller's transaction."""
    # Not executescript(): it would commit the transaction first.
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite.complete_statement(statement):
            db.conn.execute(statement)
            statement = ""
