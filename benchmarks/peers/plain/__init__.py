"""Peer: torch, one forward a request."""
