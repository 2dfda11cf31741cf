"""The delivery engine: a bounded queue, a background worker, retry, HTTP, and the spool on disk."""
