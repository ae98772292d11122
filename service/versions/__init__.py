"""Which versions live in this process: found in the store, probed, loaded, made active, taken back, unloaded."""
