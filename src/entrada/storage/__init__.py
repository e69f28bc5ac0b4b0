"""Where accounts and sessions are stored: in memory, or in SQL (SQLite, PostgreSQL).

Importing this package imports no database; `entrada.storage.sql` needs the `server` extra.
"""
