"""The script that made the demo checkpoint: art, captions, training, measuring. `python -m generation.demo --help`."""
