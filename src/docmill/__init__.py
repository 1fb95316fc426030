"""docmill takes a document over HTTP and makes it searchable in the background."""

__all__ = ["__version__"]

# Not asked of the installed package: that takes 50 ms, and every parser is a process.
__version__ = "0.1.0"
