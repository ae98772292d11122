"""Versions compared: arms on live traffic, the same pairs on several versions, reports that can be peeked at."""
