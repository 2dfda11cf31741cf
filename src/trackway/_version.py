"""The version of this release; the build, the trackers and the collector read it here."""

__version__ = "0.1.0"
