"""gendkit's own plugin: its parts come through the same hooks as everybody's."""
