"""The HTTP engine: `engine.HttpEngine` (one per worker process) and `client.HttpClient` (one per user).

Nothing is imported here, so that naming one part (`loadgen.http.errors`) does not load them all.
"""
