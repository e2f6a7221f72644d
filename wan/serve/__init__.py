"""The service: one queue, its workers, and the two faces of it, a page and an API."""
