"""Backups: a folder with the database, every file that it names, the key if the site keeps it, and a list of them with their hashes."""


class BackupError(Exception):
    """Why a backup or a restore stopped, as a sentence or a few."""
