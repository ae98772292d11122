"""A bundle: the files of a version, its manifest, tokenization and calibration, and the store that holds them.

The exporter and the trainer use the same code. It refuses a file whose digest it has not checked, and executes no code
of a bundle.
"""
