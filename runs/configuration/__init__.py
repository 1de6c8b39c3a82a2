"""From a composed configuration to objects, nothing trusted and nothing guessed."""
