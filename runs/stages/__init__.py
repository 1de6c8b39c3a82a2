"""The stages of a strategy: planned, fitted one after the other, each leaving a record."""
