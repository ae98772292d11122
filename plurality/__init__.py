"""The command line and the demo: the rightmost package, it may use all the others."""
