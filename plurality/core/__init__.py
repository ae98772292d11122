"""What every package may use: the root of the error tree, rows and pairs of preference data, a file's bearer key."""
