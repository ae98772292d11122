"""Requests of clients that no package index has, or not in this version: their bytes, what they read of a reply."""
