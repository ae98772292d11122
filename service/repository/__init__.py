"""Model versions: what a bundle is, how it is verified and loaded, and which ones live in this process.

Refuses to serve a file whose digest it has not checked, and to execute anything that a bundle brings.
"""
