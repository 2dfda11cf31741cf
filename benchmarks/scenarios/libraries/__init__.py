"""One adapter for each library: ``make(url, **options)``, ``send(client, marker)``, ``stats``."""
