"""The wires that events travel in: each module encodes and decodes one protocol."""
