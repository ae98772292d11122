"""The versions loaded in this process: found in the store, run dry, loaded, made active, rolled back, closed."""
