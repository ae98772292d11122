"""The web page at /ui: server-rendered, and of use without JavaScript."""
