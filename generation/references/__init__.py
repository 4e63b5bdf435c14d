"""Pictures beside the prompt (IP-Adapter): `files` reads adapters, `encoders` pictures, `adapter` puts them to work."""
