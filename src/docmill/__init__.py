"""docmill takes a document over HTTP and makes it searchable in the background."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("docmill")
