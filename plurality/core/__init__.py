"""What every package may use: the root of the error tree, and the bearer key of a file. Imports nothing of ours."""
