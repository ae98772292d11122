"""What a version is: its files, manifest, tokenization and calibration, and the store that holds them.

The exporter and the trainer use this same code. It refuses a file whose digest it has not checked, and executes
nothing that a bundle brings.
"""
