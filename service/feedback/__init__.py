"""What people said about pairs: votes, and what each version predicted for them. SQL behind it, no HTTP."""
