"""The version, under the names of the old module: it is Trackway's own."""

from trackway._version import __version__

__version_info__ = tuple(int(part) for part in __version__.split(".")[:3] if part.isdigit())
__build_version__ = __version__

__all__ = ["__build_version__", "__version__", "__version_info__"]
